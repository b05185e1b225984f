"""What all checks of the database have in common: they only read, by few connections, and none holds up another."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from older import OlderServer, programs
from readers import Reader, reader
from servers import FAST, running

from ops.checks import Check, Column, Database, Outcome, Result, Rows, Schema, Table
from ops.environment import root
from ops.errors import DatabaseError
from ops.probes import ask
from ops.probes.pool import Question, answers
from ops.probes.reading import AT_ONCE, reading
from ops.sandbox.shop import Shop
from ops.secrets import revealed

ORDERS = Schema(
    tables=(
        Table(
            name="orders",
            columns={"id": Column(type="int8", nullable=False)},
            indexes=("orders_pkey",),
            constraints=("orders_pkey",),
            grants={"pg_read_all_data": ("SELECT",)},
        ),
    )
)
COUNT = Rows(query="SELECT count(*) FROM orders", at_least=1)


@pytest.fixture
def role(shop: Shop) -> Iterator[Reader]:
    """One that may read everything, and nothing else."""
    with reader(shop.server, shop.name, "pg_monitor", "pg_read_all_data") as found:
        yield found


def by_worker(role: Reader, *checks: Check) -> list[list[Result]]:
    """Ask checks as pyinfra does, by a worker of its own."""
    request = revealed(role.request()) | {"checks": [revealed(one) for one in checks]}
    done = subprocess.run(
        [sys.executable, "-m", "ops.worker", "verify"],
        cwd=root(), input=json.dumps(request) + "\n", capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return [[Result.from_json(one) for one in each] for each in json.loads(done.stdout)["answer"]["results"]]


def at_once(role: Reader, *checks: Check) -> list[Result]:
    """The first result of each; all are asked at the same time."""
    request = role.request()
    found = answers([Question(one.title, partial(ask, one, request), one.timeout) for one in checks])
    return [each[0] for each in found]


def slow(seconds: float, timeout: float = 30) -> Rows:
    return Rows(query=f"SELECT 1 FROM pg_sleep({seconds})", equals=1, timeout=timeout)


def contents(shop: Shop) -> str:
    """Schema and data, as pg_dump writes them."""
    dump = [shop.server.bin_dir / "pg_dump", "--inserts", shop.server.url(shop.name)]
    printed = subprocess.run(dump, capture_output=True, check=True, text=True).stdout
    return "\n".join(line for line in printed.splitlines() if not line.startswith(("--", "\\")))


def test_a_role_that_can_only_read_is_enough_and_nothing_but_questions_is_asked(role: Reader, shop: Shop) -> None:
    role.execute(f"ALTER ROLE {role.user} SET log_statement = 'all'")
    before, begin = contents(shop), shop.server.log.stat().st_size
    results = by_worker(role, Database(), ORDERS, COUNT)
    assert {one.outcome for each in results for one in each} == {Outcome.PASS}, results
    assert contents(shop) == before
    said = shop.server.log.read_bytes()[begin:].decode()
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*(?:\n\t.*)*)", said)
    assert len(statements) > 10
    for one in statements:
        assert re.match(r"\s*(SELECT|WITH)\b|BEGIN READ ONLY$", one), one
        assert not re.search(r"\b(INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|LOCK|TRUNCATE)\b", one), one


def test_on_its_connection_not_even_a_superuser_can_write(shop: Shop) -> None:
    superuser = Reader(shop.server, shop.name, shop.server.user, shop.server.password)
    database = superuser.request().database
    assert database is not None
    with reading(database, 20) as found:
        for statement in ("CREATE TABLE never (i int)", "DELETE FROM orders", "SELECT nextval('invoice_number')"):
            with pytest.raises(DatabaseError, match="read-only transaction"):
                found.rows(statement)
        limits = (
            "SELECT setting::int FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout') ORDER BY name"
        )
        (lock,), (statement,) = found.rows(limits)
        assert 10_000 < lock < statement <= 20_000


def test_what_was_asked_before_counts_in_the_time_of_what_comes_after(role: Reader) -> None:
    database = role.request().database
    assert database is not None
    began = time.monotonic()
    with reading(database, 2.5) as found:
        found.rows("SELECT pg_sleep(1)")
        with pytest.raises(DatabaseError, match="statement timeout"):
            found.rows("SELECT pg_sleep(60)")
        with pytest.raises(DatabaseError, match="took too long for what was asked before"):
            found.rows("SELECT 1")
    assert time.monotonic() - began < 10


def test_many_checks_have_few_connections_between_them(role: Reader, shop: Shop) -> None:
    most, over = 0, threading.Event()
    mine = "SELECT FROM pg_stat_activity WHERE usename = %s"

    def count() -> None:
        nonlocal most
        with closing(psycopg.connect(shop.server.url(), autocommit=True)) as admin:
            while not over.is_set():
                most = max(most, admin.execute(mine, [role.user]).rowcount)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        found = at_once(role, *[slow(0.2) for _ in range(3 * AT_ONCE)])
    finally:
        over.set()
        thread.join(30)
    assert {one.outcome for one in found} == {Outcome.PASS}
    assert 1 < most <= AT_ONCE


def test_one_that_hangs_keeps_the_others_from_nothing(role: Reader) -> None:
    began = time.monotonic()
    hanging, *others = at_once(role, slow(60, timeout=3), *[COUNT] * 10)
    assert time.monotonic() - began < 20
    assert hanging.outcome is Outcome.UNKNOWN
    assert "statement timeout" in hanging.value
    assert {one.outcome for one in others} == {Outcome.PASS}
    assert max(one.seconds for one in others) < hanging.seconds


def test_waiting_for_the_others_counts_in_its_own_time(role: Reader) -> None:
    busy = threading.Thread(target=at_once, args=[role, *[slow(3) for _ in range(AT_ONCE)]])
    busy.start()
    deadline = time.monotonic() + 30
    with closing(psycopg.connect(role.server.url(), autocommit=True)) as admin:
        asleep = "SELECT FROM pg_stat_activity WHERE usename = %s AND wait_event = 'PgSleep'"
        while admin.execute(asleep, [role.user]).rowcount < AT_ONCE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    short, patient = at_once(role, slow(0, timeout=0.3), COUNT)
    busy.join(30)
    assert (short.outcome, short.value) == (Outcome.UNKNOWN, "other checks of the database took all of the 0.3 s")
    assert short.hint == "Look why, or give it more: timeout=…"
    assert patient.outcome is Outcome.PASS


def test_a_limit_of_none_is_none_at_the_worker_as_well(role: Reader) -> None:
    nothing = Database(
        version=None, connections=None, longest_transaction=None, longest_wait=None, sequences=None,
        transaction_ids=None, dead_rows=None, replication_lag=None, invalid_indexes=False,
    )  # fmt: skip
    found, null = by_worker(role, nothing, Rows(query="SELECT NULL", equals=None))
    assert [one.what for one in found] == ["reachable"]
    assert [(one.outcome, one.limit) for one in null] == [(Outcome.PASS, "= NULL")]


def test_a_database_in_another_encoding_is_asked_in_that(role: Reader) -> None:
    name = f"{role.database}_latin1"  # goes with the shop
    role.execute(f"CREATE DATABASE {name} ENCODING LATIN1 LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    check = Rows(query="SELECT 'Köln' || length('Köln')", equals="Köln4")
    assert [one.outcome for one in ask(check, role.request(database=name))] == [Outcome.PASS]


@pytest.mark.slow
@pytest.mark.skipif(programs() is None, reason="there is no PostgreSQL 14, 15 or 16 on this machine")
def test_an_older_server_is_asked_just_as_well(tmp_path: Path) -> None:
    server = OlderServer(tmp_path / "older", settings=FAST)
    with running(server):
        with closing(psycopg.connect(server.url(), autocommit=True)) as admin:
            admin.execute("CREATE DATABASE shop")
        with reader(server, "shop", "pg_monitor", "pg_read_all_data") as role, reader(server, "shop") as anybody:
            role.execute(
                "CREATE TABLE orders (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)",
                "INSERT INTO orders VALUES (DEFAULT)",
            )
            results = by_worker(role, Database(), ORDERS, COUNT)
            assert {one.outcome for each in results for one in each} == {Outcome.PASS}, results
            with closing(psycopg.connect(anybody.url)) as idle:
                idle.execute("SELECT 1")
                time.sleep(0.1)
                tight = Database(version=17, connections=0.01, longest_transaction="0.1s", sequences=1e-19,
                                 transaction_ids=1e-9)  # fmt: skip
                found = role.ask(tight)
            bad = [what for what, one in found.items() if one.outcome is Outcome.FAIL]
            assert bad == ["version", "connections", "longest transaction", "sequences", "transaction ids"]
            hidden = [what for what, one in anybody.ask(Database()).items() if one.outcome is Outcome.UNKNOWN]
            assert hidden == ["connections", "longest transaction", "sequences"]
            anybody.execute("CREATE SCHEMA sales", "CREATE TABLE sales.deals (id int)")
            tables = anybody.ask(Schema(tables=(Table(name="sales.deals"), Table(name="a b"), Table(name="gone"))))
            outcomes = [one.outcome for one in tables.values()]
            assert outcomes == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.FAIL]
