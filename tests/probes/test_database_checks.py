"""How a database is, each thing that is looked at alone: as it must be, not so, and not to be known."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import psycopg
import pytest
from readers import Reader, reader

from ops.checks import Database, Outcome, Result
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.shop import Shop

NOTHING = {
    "version": None, "connections": None, "longest_transaction": None, "longest_wait": None, "replication_lag": None,
    "sequences": None, "transaction_ids": None, "dead_rows": None, "invalid_indexes": False,
}  # fmt: skip


@pytest.fixture
def role(shop: Shop) -> Iterator[Reader]:
    """One that may read everything, and nothing else."""
    with reader(shop.server, shop.name, "pg_monitor", "pg_read_all_data") as found:
        yield found


@pytest.fixture
def monitor(shop: Shop) -> Iterator[Reader]:
    """One that sees what others do, and none of their rows."""
    with reader(shop.server, shop.name, "pg_monitor") as found:
        yield found


@pytest.fixture
def anybody(shop: Shop) -> Iterator[Reader]:
    """One that was granted nothing."""
    with reader(shop.server, shop.name) as found:
        yield found


def asked(role: Reader, **limits: object) -> Result:
    """What came of the only thing that is looked at."""
    found = role.ask(Database(**{**NOTHING, **limits}))
    assert found.pop("reachable").outcome is Outcome.PASS
    (one,) = found.values()
    assert bool(one.hint) is (one.outcome is not Outcome.PASS)
    return one


@contextmanager
def connected(url: str, application: str = "", **settings: str) -> Iterator[psycopg.Connection]:
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    with closing(psycopg.connect(url, autocommit=True, application_name=application, options=options)) as connection:
        yield connection


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def waiting(url: str, statement: str) -> Iterator[int]:
    """A session that waits for a lock; its pid."""
    with connected(url) as connection, connected(url) as other:
        pid = connection.info.backend_pid

        def run() -> None:
            with pytest.raises(psycopg.Error):
                connection.execute(statement.encode())

        thread = threading.Thread(target=run)
        thread.start()
        waits = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted AND waitstart IS NOT NULL"
        until(lambda: other.execute(waits, [pid]).rowcount == 1)
        try:
            yield pid
        finally:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
            thread.join(30)


def test_a_new_database_is_all_right_in_every_respect(role: Reader, shop: Shop) -> None:
    found = role.ask(Database())
    assert {one.outcome for one in found.values()} == {Outcome.PASS}, found
    assert list(found) == [
        "reachable", "version", "connections", "longest transaction", "blocked sessions", "invalid indexes",
        "sequences", "transaction ids", "dead rows",
    ]  # fmt: skip
    assert found["reachable"].value == f"{shop.name} at 127.0.0.1:{shop.server.port}"
    assert found["version"].value.startswith("17.")


def test_nothing_is_looked_at_whose_limit_is_none(role: Reader) -> None:
    assert list(role.ask(Database(**NOTHING))) == ["reachable"]


@pytest.mark.parametrize(
    ("but", "outcome", "said"),
    [
        ({"port": 1}, "fail", "Connection refused"),
        ({"database": "gone"}, "fail", 'database "gone" does not exist'),
        ({"password": "wrong"}, "unknown", "password authentication failed"),
        ({"host": "nowhere.invalid"}, "unknown", "nowhere.invalid"),
        ({"database": "template0"}, "fail", "not currently accepting connections"),
        ({"database": "postgres", "user": "nobody_at_all"}, "unknown", "password authentication failed"),
    ],
)
def test_that_nobody_is_let_in_is_a_failure_and_that_we_are_not_is_unknown(
    role: Reader, but: dict[str, object], outcome: str, said: str
) -> None:
    (one,) = role.ask(Database(), **but).values()
    assert (one.what, one.outcome) == ("reachable", outcome)
    assert one.value.startswith("cannot be reached: ")
    assert said in one.value
    assert "wrong" not in one.value
    assert one.hint


def test_a_role_that_may_not_connect_says_nothing_of_the_database(role: Reader, anybody: Reader) -> None:
    role.execute(f'REVOKE CONNECT ON DATABASE "{role.database}" FROM {anybody.user}')
    (one,) = anybody.ask(Database()).values()
    assert one.outcome is Outcome.UNKNOWN
    assert "permission denied for database" in one.value


def test_a_server_that_does_not_answer_is_a_failure_within_the_time_of_the_check(role: Reader) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        (one,) = role.ask(Database(timeout=2), port=silent.getsockname()[1]).values()
        assert time.monotonic() - began < 8
    assert one.outcome is Outcome.FAIL
    assert "timeout" in one.value


def test_a_connection_that_breaks_while_it_is_asked_is_a_failure_to_reach_it(
    role: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ops.probes import database
    from ops.worker.connection import sever

    def cut(server):
        sever(server.reading.connection)
        return database.version(server)

    monkeypatch.setitem(database._ASPECTS, "connections", lambda server: cut(server) and server.reading.row("SELECT 1"))
    (one,) = role.ask(Database()).values()
    assert (one.what, one.outcome) == ("reachable", Outcome.FAIL)
    assert "closed the connection" in one.value


def test_an_old_version_fails(role: Reader) -> None:
    old = asked(role, version=99)
    assert (old.outcome, old.limit) == (Outcome.FAIL, "≥ 99")


def test_connections_that_run_out_fail(role: Reader, shop: Shop) -> None:
    assert asked(role, connections=0.8).limit == "≤ 77 of 97 (80 %)"
    with ExitStack() as many:
        for _ in range(12):
            many.enter_context(connected(shop.url))
        full = asked(role, connections=0.12)
    assert full.outcome is Outcome.FAIL
    used, _, rest = full.value.partition(" ")
    assert int(used) >= 13
    assert rest.startswith("of 97 (")
    assert (full.limit, full.hint) == ("≤ 11 of 97 (12 %)", "Look who has them: pyinfra test deploys/triage.py")


def test_the_limit_of_a_database_or_a_role_counts_where_it_is_reached_first(role: Reader, shop: Shop) -> None:
    role.execute(f'ALTER DATABASE "{shop.name}" CONNECTION LIMIT 20')
    assert asked(role, connections=0.8).value == f"1 of 20 of the database {shop.name} (5 %)"
    role.execute(f"ALTER ROLE {role.user} CONNECTION LIMIT 2")
    with connected(role.url):
        full = asked(role, connections=0.8)
        assert (full.outcome, full.value) == (Outcome.FAIL, f"2 of 2 of the role {role.user} (100 %)")
        with connected(role.url):
            (none,) = role.ask(Database()).values()
            (unreached,) = role.ask(Database(**NOTHING)).values()
    assert (none.what, none.outcome) == ("connections", Outcome.FAIL)
    assert none.value.startswith("none is left: ")
    assert "too many connections for role" in none.value
    assert (unreached.what, unreached.outcome) == ("reachable", Outcome.FAIL)


def test_connections_that_are_hidden_are_not_counted_as_none(anybody: Reader) -> None:
    hidden = asked(anybody, connections=0.8)
    assert hidden.outcome is Outcome.UNKNOWN
    assert hidden.hint == f"Type in psql: GRANT pg_monitor TO {anybody.user}"


def test_a_transaction_that_lies_open_is_named_with_who_opened_it(role: Reader, shop: Shop) -> None:
    assert asked(role, longest_transaction="1s").value == "none is open"
    with connected(shop.url, "checkout") as other:
        other.execute("BEGIN")
        other.execute("SELECT 1")
        time.sleep(0.1)
        old = asked(role, longest_transaction="0.1s")
        young = asked(role, longest_transaction="1h")
        pid = other.info.backend_pid
    assert old.outcome is Outcome.FAIL
    assert old.value == f"0s: pid {pid}, {shop.user} (checkout, idle in transaction)"
    assert old.limit == "≤ 0.1s"
    assert old.hint == f"Let it end, or end it in psql: SELECT pg_terminate_backend({pid})"
    assert young.outcome is Outcome.PASS
    assert young.value == old.value


def test_our_own_backups_and_other_databases_may_have_transactions_open(
    role: Reader, shop: Shop, postgres: PostgresServer
) -> None:
    with connected(shop.url, "pyinfra-ops") as ours, connected(postgres.url()) as elsewhere:
        for one in (ours, elsewhere):
            one.execute("BEGIN")
            one.execute("SELECT 1")
        time.sleep(0.1)
        assert asked(role, longest_transaction="0.1s").value == "none is open"


def test_transactions_that_are_hidden_are_unknown_and_those_that_are_seen_still_fail(
    anybody: Reader, shop: Shop
) -> None:
    hidden = asked(anybody, longest_transaction="1h")
    assert (hidden.outcome, hidden.hint) == (Outcome.UNKNOWN, f"Type in psql: GRANT pg_monitor TO {anybody.user}")
    with connected(anybody.url) as other:
        other.execute("BEGIN")
        time.sleep(0.1)
        assert asked(anybody, longest_transaction="0.1s").outcome is Outcome.FAIL


def test_a_session_that_does_not_tell_what_it_does_is_unknown(role: Reader) -> None:
    with connected(role.server.url(role.database), track_activities="off"):
        found = asked(role, longest_transaction="1h")
    assert found.outcome is Outcome.UNKNOWN
    assert "track_activities is off" in found.value


def test_the_one_behind_whom_all_wait_is_named(role: Reader, shop: Shop) -> None:
    assert asked(role, longest_wait="0s").value == "none"
    with connected(shop.url, "import") as first:
        first.execute("BEGIN")
        first.execute("LOCK orders IN ACCESS SHARE MODE")
        with (
            waiting(shop.url, "ALTER TABLE orders ADD COLUMN x int"),
            waiting(shop.url, "SELECT count(*) FROM orders"),
        ):
            time.sleep(0.1)
            blocked = asked(role, longest_wait="0.1s")
            still_fine = asked(role, longest_wait="1h")
            pid = first.info.backend_pid
    assert blocked.outcome is Outcome.FAIL
    who = f"pid {pid}, {shop.user} (import, idle in transaction)"
    assert blocked.value == f"2 wait, for 0s at most, because of {who}"
    assert blocked.hint == f"Let it end, or end it in psql: SELECT pg_terminate_backend({pid})"
    assert still_fine.outcome is Outcome.PASS


def test_locks_that_may_not_be_seen_are_unknown(monitor: Reader) -> None:
    monitor.execute("REVOKE SELECT ON pg_locks FROM PUBLIC")
    hidden = asked(monitor, longest_wait="30s")
    assert hidden.outcome is Outcome.UNKNOWN
    assert hidden.value == "PostgreSQL permission denied for view pg_locks"


def test_an_index_that_could_not_be_built_is_named(role: Reader, shop: Shop) -> None:
    with connected(shop.url) as owner:
        with pytest.raises(psycopg.errors.UniqueViolation):
            owner.execute('CREATE UNIQUE INDEX CONCURRENTLY "Städte" ON addresses (city)')
        left = asked(role, invalid_indexes=True)
        assert (left.outcome, left.value) == (Outcome.FAIL, '"Städte"')
        assert left.hint == 'In psql: REINDEX INDEX CONCURRENTLY "Städte", or DROP INDEX CONCURRENTLY'
        owner.execute('DROP INDEX "Städte"')
    assert asked(role, invalid_indexes=True).value == "none"


def test_an_index_that_is_being_built_is_not_invalid(anybody: Reader, shop: Shop) -> None:
    invalid = "SELECT FROM pg_index WHERE NOT indisvalid"
    with connected(shop.url) as reads, connected(shop.url) as looks:
        reads.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reads.execute("UPDATE orders SET note = '' WHERE id = 1")
        with waiting(shop.url, "CREATE INDEX CONCURRENTLY slow ON orders (note)"):
            until(lambda: looks.execute(invalid).rowcount == 1)
            assert asked(anybody, invalid_indexes=True).value == "none"
        assert asked(anybody, invalid_indexes=True).value == "slow"


def test_indexes_that_may_not_be_seen_are_unknown(monitor: Reader) -> None:
    monitor.execute("REVOKE SELECT ON pg_index FROM PUBLIC")
    assert asked(monitor, invalid_indexes=True).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            ["SELECT setval('categories_id_seq', 1900000000)"],
            "categories_id_seq for categories.id is at 1,900,000,000 of 2,147,483,647 (88 %)",
        ),
        (
            ["CREATE SEQUENCE wide", "CREATE TABLE narrow (id int DEFAULT nextval('wide'))",
             "SELECT setval('wide', 2000000000)"],
            "wide for narrow.id is at 2,000,000,000 of 2,147,483,647 (93 %)",
        ),
        (
            ["CREATE DOMAIN small AS smallint", 'CREATE TABLE "T" (id small)', "CREATE SEQUENCE s OWNED BY \"T\".id",
             "SELECT setval('s', 32000)"],
            's for "T".id is at 32,000 of 32,767 (98 %)',
        ),
        (
            ["CREATE SEQUENCE down AS smallint INCREMENT -1", "SELECT setval('down', -32000)"],
            "down is at -32,000 of -32,768 (98 %)",
        ),
        (
            ["CREATE SEQUENCE round MAXVALUE 40000 CYCLE", "CREATE TABLE r (id smallint DEFAULT nextval('round'))",
             "SELECT setval('round', 32767)"],
            "round for r.id is at 32,767 of 32,767 (100 %)",
        ),
    ],
)  # fmt: skip
def test_a_sequence_near_the_end_of_what_it_or_its_column_holds_fails(
    role: Reader, statements: list[str], said: str
) -> None:
    assert asked(role, sequences=0.8).outcome is Outcome.PASS
    role.execute(*statements)
    worn = asked(role, sequences=0.8)
    assert (worn.outcome, worn.value, worn.limit) == (Outcome.FAIL, said, "≤ 80 %")


def test_a_sequence_that_begins_anew_has_no_end(role: Reader) -> None:
    role.execute("CREATE SEQUENCE round MAXVALUE 10 CYCLE", "SELECT setval('round', 10)")
    assert asked(role, sequences=0.8).outcome is Outcome.PASS


def test_sequences_that_may_not_be_read_are_unknown(anybody: Reader, role: Reader) -> None:
    hidden = asked(anybody, sequences=0.8)
    assert hidden.outcome is Outcome.UNKNOWN
    assert "may not read" in hidden.value
    assert hidden.hint == f"Type in psql: GRANT pg_read_all_data TO {anybody.user}"
    role.execute(f"GRANT SELECT ON invoice_number TO {anybody.user}", "SELECT setval('invoice_number', 9e18::bigint)")
    assert asked(anybody, sequences=0.8).outcome is Outcome.FAIL


def test_transaction_ids_that_run_out_fail_whichever_database_is_the_oldest(role: Reader, monitor: Reader) -> None:
    assert asked(role, transaction_ids=0.5).outcome is Outcome.PASS
    gone = asked(role, transaction_ids=1e-9)
    assert gone.outcome is Outcome.FAIL
    assert "transactions of 2,147,483,648 in the database " in gone.value
    monitor.execute("REVOKE SELECT ON pg_database FROM PUBLIC")
    assert asked(monitor, transaction_ids=0.5).outcome is Outcome.UNKNOWN


def test_dead_rows_are_a_warning_in_a_table_that_is_large_enough(role: Reader) -> None:
    assert asked(role, dead_rows=0.4).value == "no table is large enough"
    make = "CREATE TABLE {0} WITH (autovacuum_enabled = off) AS SELECT i FROM generate_series(1, {1}) i"
    role.execute(make.format("large", 20_000), make.format("tiny", 2_000))
    role.execute("DELETE FROM large WHERE i > 5000", "DELETE FROM tiny")
    dead = asked(role, dead_rows=0.4)
    assert dead.outcome is Outcome.WARN
    assert dead.value == "75 % of 20,000 in large, vacuumed never"
    assert dead.hint.startswith("deploys/treat.py --data vacuum=large removes them; ")
    role.execute("VACUUM large", "INSERT INTO large SELECT generate_series(1, 10000)")
    fresh = asked(role, dead_rows=0.4)
    assert (fresh.outcome, fresh.value) == (Outcome.PASS, "0 % of large")


def test_dead_rows_that_nobody_counts_are_unknown(role: Reader) -> None:
    role.execute(f"ALTER ROLE {role.user} SET track_counts = off")
    assert asked(role, dead_rows=0.4).outcome is Outcome.UNKNOWN
