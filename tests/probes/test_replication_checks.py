"""How far standbys are behind: a real one, whose replay is held up, that falls silent, and that is gone."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql
from readers import Reader, reader
from servers import FAST, running
from standby import Standby

from ops.checks import Database, Outcome, Result
from ops.sandbox.postgres import PostgresServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server of which a standby may be made, and that takes prepared transactions."""
    settings = {**FAST, "max_prepared_transactions": "2", "wal_receiver_status_interval": "1"}
    server = PostgresServer(tmp_path_factory.mktemp("primary"), settings=settings)
    with running(server):
        with closing(psycopg.connect(server.url(), autocommit=True)) as admin:
            admin.execute("CREATE DATABASE shop")
        yield server


@pytest.fixture(scope="module")
def standby(primary: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standby]:
    """A standby that follows it."""
    server = Standby(tmp_path_factory.mktemp("standby"), primary, "second")
    with running(server):
        yield server


@pytest.fixture
def role(primary: PostgresServer) -> Iterator[Reader]:
    with reader(primary, "shop", "pg_monitor", "pg_read_all_data") as found:
        yield found


@pytest.fixture
def anybody(primary: PostgresServer) -> Iterator[Reader]:
    with reader(primary, "shop") as found:
        yield found


def there(role: Reader, standby: Standby) -> Reader:
    """The same role on the standby."""
    found = Reader(standby, role.database, role.user, role.password)
    until(lambda: _can_connect(found))
    return found


def _can_connect(role: Reader) -> bool:
    try:
        psycopg.connect(role.url).close()
    except psycopg.OperationalError:
        return False
    return True


def lag(role: Reader, limit: str = "60s") -> Result | None:
    found = role.ask(Database(replication_lag=limit, dead_rows=None))
    assert all(one.outcome is Outcome.PASS for what, one in found.items() if what != "replication lag"), found
    return found.get("replication lag")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def failing(role: Reader) -> Result:
    """Its lag, once it is more than a second."""
    found: list[Result | None] = []
    until(lambda: found.append(lag(role, "1s")) or (found[-1] is not None and found[-1].outcome is Outcome.FAIL))
    assert found[-1]
    return found[-1]


def follows(role: Reader) -> bool:
    found = lag(role)
    return found is not None and found.value == "second at 127.0.0.1: none"


def write(role: Reader) -> None:
    role.execute("CREATE TABLE IF NOT EXISTS written (at timestamptz)", "INSERT INTO written VALUES (now())")


def test_a_standby_that_follows_passes_seen_from_either_side(role: Reader, anybody: Reader, standby: Standby) -> None:
    write(role)
    near, far = lag(role), lag(there(role, standby))
    assert near and far
    assert (near.outcome, near.value, near.limit) == (Outcome.PASS, "second at 127.0.0.1: none", "≤ 60s")
    assert (far.outcome, far.value) == (Outcome.PASS, "this standby: none")
    for one in (anybody, there(anybody, standby)):
        hidden = one.ask(Database())["replication lag"]
        assert (hidden.outcome, hidden.hint) == (Outcome.UNKNOWN, f"Type in psql: GRANT pg_monitor TO {anybody.user}")
    assert there(role, standby).ask(Database())["dead rows"].outcome is Outcome.UNKNOWN


def test_a_standby_whose_replay_is_held_up_fails_seen_from_either_side(role: Reader, standby: Standby) -> None:
    far = there(role, standby)
    write(role)
    far.execute("SELECT pg_wal_replay_pause()")
    try:
        write(role)
        late, own = failing(role), failing(far)
        allowed = lag(role, "1h")
    finally:
        far.execute("SELECT pg_wal_replay_resume()")
    assert re.fullmatch(r"second at 127.0.0.1: \ds, 0.0 MB", late.value)
    assert "pg_get_wal_replay_pause_state" in late.hint
    assert re.fullmatch(r"this standby: \d+s \(its replay is paused\)", own.value)
    assert own.hint == "To let it go on: SELECT pg_wal_replay_resume()"
    assert allowed
    assert allowed.outcome is Outcome.PASS
    until(lambda: follows(role))


def test_a_standby_that_says_nothing_any_more_is_not_taken_for_one_that_follows(role: Reader, standby: Standby) -> None:
    children = psutil.Process(standby.pid).children()
    receiver = next(one for one in children if "walreceiver" in " ".join(one.cmdline()))
    receiver.send_signal(signal.SIGSTOP)
    try:
        write(role)
        silent = failing(role)
    finally:
        receiver.send_signal(signal.SIGCONT)
    assert silent.value.startswith("second at 127.0.0.1: ")
    until(lambda: follows(role))


def test_a_standby_that_receives_nothing_fails(role: Reader, standby: Standby) -> None:
    far = there(role, standby)
    write(role)
    with closing(psycopg.connect(standby.url(), autocommit=True)) as admin:
        (before,) = admin.execute("SHOW primary_conninfo").fetchone() or ("",)

        def follow(where: str) -> None:
            admin.execute(sql.SQL("ALTER SYSTEM SET primary_conninfo = {}").format(sql.Literal(where)))
            admin.execute("SELECT pg_reload_conf()")

        follow("host=127.0.0.1 port=1")
        try:
            alone = failing(far)
            assert lag(role) is None
        finally:
            follow(before)
    assert re.fullmatch(r"this standby: \d+s \(nothing is received from its primary\)", alone.value)
    until(lambda: follows(role))


def test_a_backup_that_is_being_taken_is_no_standby(role: Reader, tmp_path: Path) -> None:
    tool = role.server.bin_dir / "pg_basebackup"
    command = [tool, "-d", role.server.url(), "-D", tmp_path / "backup", "-X", "stream", "-c", "fast", "-N", "-r", "32"]
    admin = psycopg.connect(role.server.url(), autocommit=True)
    with closing(admin), subprocess.Popen(command, stderr=subprocess.DEVNULL) as backup:
        try:
            sends = "SELECT FROM pg_stat_replication WHERE application_name = 'pg_basebackup'"
            until(lambda: admin.execute(sends).rowcount == 2)
            found = lag(role)
        finally:
            backup.kill()
    assert found is None or found.value == "second at 127.0.0.1: none"


def test_a_slot_from_which_nobody_reads_is_a_warning(role: Reader) -> None:
    role.execute("SELECT pg_create_physical_replication_slot('third', true)")
    try:
        warned = lag(role)
    finally:
        role.execute("SELECT pg_drop_replication_slot('third')")
    assert warned
    assert warned.outcome is Outcome.WARN
    assert warned.value.startswith("nobody reads from the replication slot third, for which ")
    assert warned.hint == "Is its standby gone for good? SELECT pg_drop_replication_slot('third')"


def test_a_transaction_that_was_prepared_and_forgotten_is_found_and_whom_it_blocks(role: Reader) -> None:
    write(role)
    role.execute("BEGIN", "LOCK written", "PREPARE TRANSACTION 'it''s forgotten'")
    with closing(psycopg.connect(role.server.url("shop"), autocommit=True)) as other:
        thread = threading.Thread(target=other.execute, args=["SELECT FROM written"])
        thread.start()
        try:
            until(lambda: blocked(role) is not None)
            waits = blocked(role)
            time.sleep(0.1)
            old = role.ask(Database(longest_transaction="0.1s"))["longest transaction"]
        finally:
            role.execute("ROLLBACK PREPARED 'it''s forgotten'")
            thread.join(30)
    assert waits
    assert waits.value == "1 waits, for 0s at most, because of a prepared transaction"
    assert old.outcome is Outcome.FAIL
    assert re.fullmatch(r"\ds: the prepared transaction it's forgotten of postgres", old.value)
    assert old.hint == waits.hint
    assert old.hint.startswith("End it in psql: COMMIT PREPARED, or ROLLBACK PREPARED")


def blocked(role: Reader) -> Result | None:
    found = role.ask(Database(longest_wait="0s"))["blocked sessions"]
    return found if found.outcome is Outcome.FAIL else None
