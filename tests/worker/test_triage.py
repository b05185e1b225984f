"""How a database in trouble is seen: on a real one, by a role that can only read."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from asked import Asked
from servers import FAST, running
from trouble import Trouble, only_reading

from ops.sandbox.postgres import PostgresServer
from ops.sandbox.shop import Shop
from ops.secrets import revealed
from ops.worker import activity, upkeep

SECRET = "alice@example.com"


@pytest.fixture
def trouble(shop: Shop) -> Iterator[Trouble]:
    found = Trouble(shop.url)
    yield found
    found.end()


@pytest.fixture
def reader(postgres: PostgresServer, shop: Shop) -> Iterator[dict[str, Any]]:
    with only_reading(postgres, shop.name) as described:
        yield revealed(described)


def picture(worker: Asked, **more: Any) -> dict[str, Any]:
    """What was found of each part, of which none may be unknown."""
    answer = worker.ask("triage", **more).answer
    parts = {name: part for name, part in answer.items() if name != "server"}
    assert not [part for part in parts.values() if part["unknown"]], parts
    return {name: part["found"] for name, part in parts.items()}


def shape(tree: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(one["depth"], one["application"]) for one in tree]


def test_a_chain_of_sessions_that_wait_is_a_tree_with_tables_and_without_values(worker, trouble, reader):
    blocker = trouble.session("console", autocommit=False)
    blocker.execute(f"UPDATE customers SET name = '{SECRET}' WHERE id = 7")
    trouble.waits("api", f"UPDATE customers SET name = '{SECRET}' WHERE id = 7")
    trouble.waits("migration", "ALTER TABLE customers ADD COLUMN more integer")
    trouble.waits("web", f"SELECT * FROM customers WHERE email = '{SECRET}'")
    found = picture(worker, database=reader)
    tree = found["blocked"]
    assert shape(tree) == [(0, "console"), (1, "api"), (2, "migration"), (3, "web")]
    assert tree[0]["pid"] == blocker.info.backend_pid
    assert tree[0]["state"] == "idle in transaction"
    assert [(one["locktype"], one["mode"], one["table"]) for one in tree[1:]] == [
        ("transactionid", "ShareLock", "customers"),
        ("relation", "AccessExclusiveLock", "customers"),
        ("relation", "AccessShareLock", "customers"),
    ]
    assert tree[0]["query"] == "UPDATE customers SET name = ? WHERE id = ?"
    assert all(0 <= one["waits"] < 60 for one in tree[1:])
    assert SECRET not in str(found)
    assert found["connections"]["oldest"]["pid"] == blocker.info.backend_pid


def test_two_who_wait_for_the_same_stand_beside_each_other(worker, trouble):
    trouble.session("console", autocommit=False).execute("LOCK TABLE customers, products IN ACCESS EXCLUSIVE MODE")
    trouble.waits("api", "SELECT count(*) FROM customers")
    trouble.waits("web", "SELECT count(*) FROM products")
    tree = picture(worker)["blocked"]
    assert [(one["depth"], one["application"], one["table"]) for one in tree] == [
        (0, "console", None),
        (1, "api", "customers"),
        (1, "web", "products"),
    ]


def test_tables_that_somebody_alters_keep_nothing_from_being_seen(worker, trouble, shop):
    session = trouble.session("altering", autocommit=False)
    session.execute("ALTER TABLE orders ADD COLUMN more integer")
    session.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
    began = time.monotonic()
    found = picture(worker)
    assert time.monotonic() - began < 5
    assert found["indexes"]["unused"] == []


def test_connections_are_counted_by_state_and_application(worker, trouble, reader):
    for _ in range(3):
        trouble.session("api").execute("SELECT 1")
    trouble.session("batch", autocommit=False).execute("SELECT 1")
    found = picture(worker, database=reader)["connections"]
    groups = {(one["state"], one["application"]): one["count"] for one in found["groups"]}
    assert groups == {("idle", "api"): 3, ("idle in transaction", "batch"): 1}
    assert 5 <= found["used"] <= found["limit"]
    assert (found["hidden"], found["oldest"]["application"]) == (0, "batch")


def test_sessions_that_a_role_may_not_see_are_counted_as_hidden(worker, postgres, shop, trouble):
    with psycopg.connect(postgres.url(shop.name), autocommit=True, application_name="of the superuser"):
        found = picture(worker)["connections"]
    assert found["hidden"] == 1
    assert ("hidden", "of the superuser") in {(one["state"], one["application"]) for one in found["groups"]}


def test_indexes_that_nobody_reads_and_those_that_are_there_twice_are_named(worker, trouble, reader):
    session = trouble.session("ddl")
    session.execute("CREATE TABLE wide (id int PRIMARY KEY, a int, b text, c text UNIQUE)")
    session.execute("INSERT INTO wide SELECT i, i % 50, md5(i::text), i FROM generate_series(1, 40000) i")
    for statement in (
        "CREATE INDEX wide_b ON wide (b)",  # never read
        "CREATE INDEX wide_a ON wide (a)",
        "CREATE INDEX wide_a_again ON wide (a)",
        "CREATE INDEX wide_a_some ON wide (a) WHERE b > 'f'",
        "CREATE INDEX wide_a_some_more ON wide (a) WHERE b > 'f'",
        "CREATE INDEX wide_a_down ON wide (a DESC, id)",
        "CREATE INDEX wide_ab ON wide (a, b)",
        "CREATE INDEX wide_a_hash ON wide USING hash (a)",
        "CREATE INDEX wide_lower ON wide (lower(b))",
        "CREATE INDEX wide_id ON wide (id)",  # as the primary key
    ):
        session.execute(statement)
    session.execute("SET enable_seqscan = off")
    assert session.execute("SELECT count(*) FROM wide WHERE lower(b) = 'x'").fetchone() == (0,)
    session.execute("SELECT pg_stat_force_next_flush()")
    found = picture(worker, database=reader)["indexes"]
    twice = {one["index"]: (one["other"], one["whole"]) for one in found["duplicate"]}
    assert twice == {
        "wide_a_again": ("wide_a", True),
        "wide_a_some_more": ("wide_a_some", True),
        "wide_id": ("wide_pkey", True),
        "wide_a": ("wide_ab", False),
    }
    assert {one["index"] for one in found["unused"]} == {"wide_b", "wide_ab", "wide_a_hash"}
    assert all(one["size"] > 2**20 for one in found["unused"])


def test_tables_that_want_vacuum_are_named_the_largest_first_and_are_not_once_they_had_it(worker, trouble, reader):
    session = trouble.session("batch")
    session.execute("CREATE TABLE small (id int) WITH (autovacuum_enabled = false)")
    session.execute("CREATE TABLE large (id int, what text) WITH (autovacuum_enabled = false)")
    session.execute("INSERT INTO small SELECT generate_series(1, 1000)")
    session.execute("INSERT INTO large SELECT i, md5(i::text) FROM generate_series(1, 5000) i")
    session.execute("DELETE FROM large WHERE id > 2000")
    session.execute("SELECT pg_stat_force_next_flush()")
    found = [one for one in picture(worker, database=reader)["tables"] if one["off"]]
    assert [one["table"] for one in found] == ["large", "small"]
    assert (found[0]["dead"], found[0]["live"], found[0]["analyzed"]) == (3000, 2000, None)
    assert found[1]["modified"] == 1000
    session.execute("VACUUM (ANALYZE) large")
    session.execute("ANALYZE small")
    assert [one for one in picture(worker, database=reader)["tables"] if one["off"]] == []


def test_without_pg_stat_statements_it_is_said_how_to_have_it(worker, reader, postgres, shop):
    found = picture(worker, database=reader)["statements"]
    assert found == {"missing": "shared_preload_libraries = 'pg_stat_statements', a restart, then "
                                "CREATE EXTENSION pg_stat_statements"}  # fmt: skip
    with psycopg.connect(postgres.url(shop.name), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")  # which is not enough
    assert picture(worker, database=reader)["statements"] == found


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server that counts statements, and takes prepared transactions."""
    settings = {**FAST, "shared_preload_libraries": "pg_stat_statements", "max_prepared_transactions": "2"}
    server = PostgresServer(tmp_path_factory.mktemp("counting"), settings=settings)
    with running(server):
        yield server


def test_the_slowest_statements_are_those_that_took_the_most_in_all(worker, counting):
    with psycopg.connect(counting.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE people (email text)")
        with only_reading(counting, "postgres") as database:
            found = picture(worker, database=revealed(database))["statements"]
            assert found == {"missing": "in psql: CREATE EXTENSION pg_stat_statements"}
            connection.execute("CREATE EXTENSION pg_stat_statements")
            for seconds in (0.15, 0.2):
                connection.execute(f"SELECT pg_sleep({seconds}), count(*) FROM people WHERE email = '{SECRET}'")
            connection.execute("SELECT pg_sleep(0.12)")
            connection.execute("SELECT count(*) FROM people")
            found = picture(worker, database=revealed(database), slow=0.1)["statements"]
    assert (found["slow"], found["hidden"]) == (2, False)
    first, second = found["rows"]
    assert first["query"] == "SELECT pg_sleep($1), count(*) FROM people WHERE email = $2"
    assert (first["calls"], second["query"]) == (2, "SELECT pg_sleep($1)")
    assert 0.17 < first["mean"] < 5
    assert 0 < second["share"] < first["share"] <= 1
    assert 0 <= found["since"] < 600
    assert SECRET not in str(found)


def test_a_prepared_transaction_that_was_forgotten_is_at_the_root(worker, counting):
    trouble = Trouble(counting.url())
    try:
        session = trouble.session("two phases")
        session.execute("CREATE TABLE forgotten (id int)")
        session.execute("BEGIN; LOCK TABLE forgotten; PREPARE TRANSACTION 'half done'")
        waiting = trouble.waits("api", "SELECT count(*) FROM forgotten")
        with only_reading(counting, "postgres") as database:
            found = picture(worker, database=revealed(database))
        assert [(one["depth"], one["pid"]) for one in found["blocked"]] == [(0, 0), (1, waiting)]
        assert [one["gid"] for one in found["connections"]["prepared"]] == ["half done"]
        session.execute("ROLLBACK PREPARED 'half done'")
    finally:
        trouble.end()


def test_a_database_that_cannot_be_reached_is_one_line(worker):
    database = {**revealed(worker.shop.description()), "port": 1}
    answer = worker.ask("triage", database=database)
    assert answer.code == 1
    assert answer.answer["error"] == "DatabaseUnreachable"


def test_the_picture_is_taken_by_the_worker_as_a_program(worker, reader):
    answer = worker.finish(worker.start("triage", database=reader))
    assert answer.code == 0
    assert answer.answer["server"]["database"] == worker.shop.name


class Told:
    """A cursor on a server that is larger than one that a test can have."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self._answers = iter(answers)

    def execute(self, query: str) -> Told:
        self._rows = next(self._answers)
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)

    def fetchall(self) -> list[dict[str, Any]]:
        return self._rows

    def fetchone(self) -> dict[str, Any]:
        return self._rows[0]


def test_a_queue_of_five_thousand_who_wait_for_one_row_is_seen():
    row = {"query": "UPDATE t SET a = 1", "state": "active"}
    rows = [{**row, "pid": pid, "blockers": [pid - 1] if pid > 1 else []} for pid in range(5000, 0, -1)]
    began = time.monotonic()
    tree = activity.blocked(Told(rows))  # type: ignore[arg-type]
    assert [(one["pid"], one["depth"]) for one in tree] == [(pid, pid - 1) for pid in range(1, 5001)]
    assert time.monotonic() - began < 20


def test_ten_thousand_indexes_are_seen_in_time():
    index = {"size": 8192, "scans": 0, "method": "btree", "classes": ["1"], "collations": ["0"], "options": ["0"],
             "included": [], "expressions": "|", "unique": False, "needed": False}  # fmt: skip
    rows = [
        {**index, "index": f"i{at:05}_{twin}", "table": f"t{at}", "relation": at, "keys": ["1"]}
        for at in range(5000)
        for twin in "ab"
    ]
    began = time.monotonic()
    found = upkeep.indexes(Told(rows, [{"seconds": 1.0}]))  # type: ignore[arg-type]
    assert len(found["duplicate"]) == 5000
    assert time.monotonic() - began < 5


def test_a_database_without_an_encoding_is_seen_as_well(worker, postgres, trouble):
    name = f"ascii_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.url(), autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0".encode())
        try:
            with psycopg.connect(postgres.url(name), autocommit=True, application_name="api") as api:
                api.execute(b"SELECT 'caf\xe9', count(*) FROM pg_class")
                with only_reading(postgres, name) as database:
                    found = picture(worker, database=revealed(database))
        finally:
            owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    assert {one["application"] for one in found["connections"]["groups"]} == {"api"}
