"""A query's one value: against what it must be, when it is none, and when it would not only read."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from readers import Reader, reader

from ops.checks import Outcome, Result, Rows
from ops.errors import OpsError
from ops.sandbox.shop import Shop


@pytest.fixture
def role(shop: Shop) -> Iterator[Reader]:
    """One that may read everything, and nothing else."""
    with reader(shop.server, shop.name, "pg_monitor", "pg_read_all_data") as found:
        yield found


@pytest.fixture
def owner(shop: Shop) -> Reader:
    """The owner of all tables, who may write them."""
    return Reader(shop.server, shop.name, shop.user, shop.password)


@pytest.fixture
def superuser(shop: Shop) -> Reader:
    """One who may do anything."""
    return Reader(shop.server, shop.name, shop.server.user, shop.server.password)


def asked(role: Reader, query: str, **limits: object) -> Result:
    (one,) = role.ask(Rows(query=query, **limits)).values()
    return one


def refused(role: Reader, query: str, **more: object) -> str:
    with pytest.raises(OpsError) as error:
        role.ask(Rows(query=query, equals=0, **more))
    assert error.value.hint
    return error.value.problem


def rows(shop: Shop) -> int:
    with psycopg.connect(shop.url) as connection:
        found = connection.execute("SELECT count(*) FROM orders").fetchone()
    assert found
    return found[0]


NULL_NAMES = "SELECT count(*) FROM customers WHERE name IS NULL"


def test_null_names_are_found(role: Reader) -> None:
    """Scenario 2.2."""
    good = asked(role, NULL_NAMES, equals=0)
    assert (good.outcome, good.value, good.limit, good.hint) == (Outcome.PASS, "0", "= 0", "")
    role.execute("ALTER TABLE customers ALTER name DROP NOT NULL", "UPDATE customers SET name = NULL WHERE id < 4")
    bad = asked(role, NULL_NAMES, equals=0)
    assert (bad.outcome, bad.value, bad.limit) == (Outcome.FAIL, "3", "= 0")
    assert bad.hint == f"Look at what it finds, in psql: {NULL_NAMES}"


@pytest.mark.parametrize(
    ("sql", "limits", "outcome", "value", "limit"),
    [
        ("5", {"equals": 5}, "pass", "5", "= 5"),
        ("5::bigint", {"equals": 5.0}, "pass", "5", "= 5.0"),
        ("5.00::numeric", {"equals": 5}, "pass", "5.00", "= 5"),
        ("0.1::numeric", {"equals": 0.1}, "pass", "0.1", "= 0.1"),
        ("0.1::float8 + 0.2", {"equals": 0.3}, "pass", "0.30000000000000004", "= 0.3"),
        ("5", {"equals": 6}, "fail", "5", "= 6"),
        ("'5'::text", {"equals": 5}, "fail", "5", "= 5"),
        ("'5'::text", {"equals": "5"}, "pass", "5", "= 5"),
        ("5", {"equals": "5"}, "pass", "5", "= 5"),
        ("true", {"equals": True}, "pass", "t", "= t"),
        ("false", {"equals": True}, "fail", "f", "= t"),
        ("1", {"equals": True}, "fail", "1", "= t"),
        ("true", {"equals": 1}, "fail", "t", "= 1"),
        ("date '2026-11-27'", {"equals": "2026-11-27"}, "pass", "2026-11-27", "= 2026-11-27"),
        ("'paid'::order_status", {"equals": "paid"}, "pass", "paid", "= paid"),
        ("''", {"equals": "x"}, "fail", "''", "= x"),
        ("NULL", {"equals": None}, "pass", "NULL", "= NULL"),
        ("0", {"equals": None}, "fail", "0", "= NULL"),
        ("NULL", {"equals": 0}, "fail", "NULL", "= 0"),
        ("NULL", {"at_least": 0}, "unknown", "NULL, which is no number", "≥ 0"),
        ("NULL::int", {"at_most": 5}, "unknown", "NULL, which is no number", "≤ 5"),
        ("'NaN'::float8", {"at_most": 5}, "unknown", "NaN, which is no number", "≤ 5"),
        ("'NaN'::numeric", {"at_most": 5}, "unknown", "NaN, which is no number", "≤ 5"),
        ("interval '1 h'", {"at_most": 5}, "unknown", "01:00:00, which is no number", "≤ 5"),
        ("true", {"at_most": 5}, "unknown", "t, which is no number", "≤ 5"),
        ("'Infinity'::float8", {"at_most": 5}, "fail", "Infinity", "≤ 5"),
        ("5.5::numeric", {"at_least": 1, "at_most": 5.5}, "pass", "5.5", "≥ 1 and ≤ 5.5"),
        ("9007199254740993", {"at_most": 9007199254740992}, "fail", "9007199254740993", "≤ 9,007,199,254,740,992"),
        ("repeat('x', 500)", {"equals": "y"}, "fail", "x" * 100 + "…", "= y"),
        ("E'a\\nb\\x07'", {"equals": "y"}, "fail", "a b?", "= y"),
        ("'100 %s'", {"equals": "100 %s"}, "pass", "100 %s", "= 100 %s"),
    ],
)  # fmt: skip
def test_a_value_is_compared_as_its_type_says(
    role: Reader, sql: str, limits: dict[str, object], outcome: str, value: str, limit: str
) -> None:
    found = asked(role, f"SELECT {sql}", **limits)
    assert (found.outcome, found.value, found.limit) == (outcome, value, limit)
    assert bool(found.hint) is (outcome != "pass")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1, 2", "the query gives 2 columns, not one"),
        ("SELECT", "the query gives no columns, not one"),
        ("SELECT 1 WHERE false", "the query gives no row"),
        ("SELECT generate_series(1, 1000000000)", "the query gives more than one row"),
        ("", "no columns"),
        ("-- nothing", "no columns"),
        ("SELECT nonsense", 'column "nonsense" does not exist'),
        ("SELECT 1 / 0", "division by zero"),
        ("SELECT 'infinity'::timestamptz", "too large"),
    ],
)  # fmt: skip
def test_a_query_without_one_value_is_unknown(role: Reader, query: str, said: str) -> None:
    began = time.monotonic()
    assert said in refused(role, query or " ")
    assert time.monotonic() - began < 20


def test_a_table_that_the_role_may_not_read_is_unknown(shop: Shop) -> None:
    with reader(shop.server, shop.name) as anybody:
        assert "permission denied for table orders" in refused(anybody, "SELECT count(*) FROM orders")


def test_a_query_that_takes_too_long_is_ended_by_the_server(role: Reader) -> None:
    began = time.monotonic()
    assert "statement timeout" in refused(role, "SELECT 1 FROM pg_sleep(60)", timeout=1.5)
    assert time.monotonic() - began < 20


def test_a_table_that_somebody_has_locked_is_said_to_be_locked(role: Reader, shop: Shop) -> None:
    with psycopg.connect(shop.url) as other:
        other.execute("LOCK orders")
        assert "lock timeout" in refused(role, "SELECT count(*) FROM orders", timeout=1.5)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DELETE FROM orders", "no columns"),
        ("DELETE FROM orders RETURNING 1", "cannot execute DELETE in a read-only transaction"),
        ("WITH gone AS (DELETE FROM orders RETURNING 1) SELECT count(*) FROM gone", "in a read-only transaction"),
        ("EXPLAIN (ANALYZE, FORMAT JSON) DELETE FROM orders", "in a read-only transaction"),
        ("SELECT emptied()", "in a read-only transaction"),
        ("SELECT nextval('invoice_number')", "cannot execute nextval() in a read-only transaction"),
        ("SELECT 1 FROM orders LIMIT 1 FOR UPDATE", "in a read-only transaction"),
        ("COMMIT; DELETE FROM orders", "cannot insert multiple commands into a prepared statement"),
        ("SELECT 0; DELETE FROM orders", "cannot insert multiple commands"),
        ("SET transaction_read_only = off; DELETE FROM orders", "cannot insert multiple commands"),
        ("COMMIT", "no columns"),
        ("SET transaction_read_only = off", "no columns"),
        ("SELECT set_config('transaction_read_only', 'off', true)", "must be set before any query"),
        ("DO $$ BEGIN COMMIT; SET transaction_read_only = off; DELETE FROM orders; END $$", "no columns"),
        ("CALL commits(0)", "invalid transaction termination"),
        ("CALL unlocks(0)", "must be set before any query"),
        ("LOCK orders", "no columns"),
        ("COPY (SELECT 1) TO STDOUT", "no columns"),
        ("COPY (SELECT 1) TO PROGRAM 'cat > /tmp/never'", "no columns"),
        ("NOTIFY orders", "no columns"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("who", ["owner", "superuser"])
def test_a_query_that_would_do_something_changes_nothing_whatever_the_role_may(
    shop: Shop, who: str, query: str, said: str, request: pytest.FixtureRequest
) -> None:
    role = request.getfixturevalue(who)
    role.execute(
        "CREATE FUNCTION emptied() RETURNS int LANGUAGE sql AS 'DELETE FROM orders RETURNING 1'",
        "CREATE PROCEDURE commits(INOUT x int) LANGUAGE plpgsql AS "
        "$$ BEGIN COMMIT; SET transaction_read_only = off; DELETE FROM orders; END $$",
        "CREATE PROCEDURE unlocks(INOUT x int) LANGUAGE plpgsql AS "
        "$$ BEGIN SET transaction_read_only = off; DELETE FROM orders; END $$",
    )
    before = rows(shop)
    assert said in refused(role, query)
    assert rows(shop) == before > 0
    with psycopg.connect(shop.url) as connection:
        assert connection.execute("SELECT last_value FROM invoice_number").fetchone() == (100_000 + before,)


def test_what_a_session_sets_is_gone_with_the_query(owner: Reader, shop: Shop) -> None:
    query = "SELECT set_config('default_transaction_read_only', 'off', false)"
    assert asked(owner, query, equals="off").outcome is Outcome.PASS
    assert "read-only transaction" in refused(owner, "DELETE FROM orders RETURNING 1")


def test_without_a_connection_it_is_unknown(role: Reader) -> None:
    with pytest.raises(OpsError, match="Connection refused"):
        role.ask(Rows(query="SELECT 0", equals=0), port=1)
