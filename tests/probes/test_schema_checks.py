"""What the code expects of the schema: what is there, what is not, and what cannot be seen."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from readers import Reader, reader

from ops.checks import Column, Outcome, Result, Schema, Table
from ops.errors import OpsError
from ops.sandbox.shop import Shop


@pytest.fixture
def role(shop: Shop) -> Iterator[Reader]:
    """One that may read everything, and nothing else."""
    with reader(shop.server, shop.name, "pg_monitor", "pg_read_all_data") as found:
        yield found


@pytest.fixture
def anybody(shop: Shop) -> Iterator[Reader]:
    """One that was granted nothing: the catalogues are open to all."""
    with reader(shop.server, shop.name) as found:
        yield found


def asked(role: Reader, table: str = "orders", **expected: object) -> Result:
    (one,) = role.ask(Schema(tables=(Table(name=table, **expected),))).values()
    assert one.what == table
    assert bool(one.hint) is (one.outcome is not Outcome.PASS)
    return one


ORDERS = {
    "columns": {
        "id": Column(type="bigint", nullable=False),
        "status": Column(type="order_status"),
        "placed_at": Column(type="timestamp with time zone", nullable=False),
        "note": Column(type="text", nullable=True),
        "invoice": Column(),
    },
    "indexes": ("orders_pkey", "orders_open", "orders_customer"),
    "constraints": ("orders_pkey", "orders_customer_id_fkey"),
}


def test_what_is_as_the_code_expects_passes_to_whoever_may_connect(anybody: Reader, shop: Shop) -> None:
    grants = {shop.user: ("SELECT", "INSERT", "UPDATE", "DELETE")}
    found = asked(anybody, **ORDERS, grants=grants)
    assert (found.outcome, found.value) == (Outcome.PASS, "as it must be")
    assert found.limit == "5 columns, 3 indexes, 2 constraints, 4 grants"


def test_each_table_is_a_result_of_its_own(role: Reader) -> None:
    tables = ("orders", "public.customers", "open_orders", "revenue", "events", "gone")
    found = role.ask(Schema(tables=tuple(Table(name=name) for name in tables)))
    assert list(found) == list(tables)
    assert {name for name, one in found.items() if one.outcome is not Outcome.PASS} == {"gone"}


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        ("ALTER TABLE orders DROP COLUMN note", "no column note", "Look at the migrations"),
        ("ALTER TABLE orders RENAME placed_at TO \"placedAt\"", "no column placed_at",
         'Did you mean placedAt? In SQL that is "placedAt"'),
        ("ALTER TABLE orders RENAME note TO notes", "no column note", "Did you mean notes?"),
        ("ALTER TABLE orders ALTER note TYPE varchar(80)", "note is character varying(80), not text", "Look at the"),
        ("ALTER TABLE orders ALTER placed_at DROP NOT NULL", "placed_at may be null", "Look at the migrations"),
        ("ALTER TABLE orders ALTER note SET NOT NULL", "note may not be null", "Look at the migrations"),
        ("DROP INDEX orders_customer", "no index orders_customer", "Look at the migrations"),
        ("ALTER INDEX orders_customer RENAME TO orders_customers", "no index orders_customer",
         "Did you mean orders_customers?"),
        ("ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey", "no constraint orders_customer_id_fkey",
         "Look at the migrations"),
    ],
)  # fmt: skip
def test_one_thing_that_is_otherwise_is_named_alone(role: Reader, change: str, said: str, hint: str) -> None:
    role.execute("UPDATE orders SET note = ''", change)
    found = asked(role, **ORDERS)
    assert (found.outcome, found.value) == (Outcome.FAIL, said)
    assert found.hint.startswith(hint)


def test_all_that_is_wrong_with_a_table_is_one_row(role: Reader) -> None:
    """Scenario 2.2."""
    found = asked(
        role, columns={"quality_score": Column(type="numeric"), "summary": Column(), "id": Column(type="uuid")}
    )
    assert found.value == "no column quality_score, no column summary, id is bigint, not uuid"


@pytest.mark.parametrize(
    ("written", "is_that"),
    [
        ("character(2)", True), ("char(2)", True), ("bpchar(2)", True), ("character( 2 )", True), ("char(3)", False),
        ("text", False), ("nonsense", False), ("not a type", False), ("'; DROP TABLE orders; --", False),
    ],
)  # fmt: skip
def test_a_type_may_be_called_by_any_of_its_names(role: Reader, written: str, is_that: bool) -> None:
    found = asked(role, "addresses", columns={"country": Column(type=written)})
    assert (found.outcome is Outcome.PASS) is is_that
    if not is_that:
        assert found.value == f"country is character(2), not {written}"


@pytest.mark.parametrize(
    ("type", "names"),
    [
        ("numeric(10,2)", ["numeric(10, 2)", "decimal(10,2)"]),
        ("timestamp(3) with time zone", ["timestamptz(3)"]),
        ("integer[]", ["int[]", "int4[]", "INTEGER[]"]),
        ("email_address", ["public.email_address"]),
        ("character varying(80)", ["varchar(80)", "VARCHAR(80)"]),
    ],
)
def test_types_with_a_size_and_of_ones_own(role: Reader, type: str, names: list[str]) -> None:
    role.execute(f"CREATE TABLE typed (x {type})")
    for name in (type, *names):
        assert asked(role, "typed", columns={"x": Column(type=name)}).outcome is Outcome.PASS, name


def test_a_domain_may_forbid_null_as_well(role: Reader) -> None:
    role.execute("CREATE DOMAIN filled AS text NOT NULL", "CREATE TABLE strict (x filled)")
    assert asked(role, "strict", columns={"x": Column(nullable=False)}).outcome is Outcome.PASS


def test_names_are_read_as_sql_reads_them(role: Reader) -> None:
    role.execute('CREATE SCHEMA "Sales"', 'CREATE TABLE "Sales"."Deals" ("closedAt" date, "a ""b" int)')
    columns = {'"closedAt"': Column(), "closedAt": Column(), '"a ""b"': Column()}
    assert asked(role, '"Sales"."Deals"', columns=columns).outcome is Outcome.PASS
    assert asked(role, "ORDERS", columns={"ID": Column()}).outcome is Outcome.PASS
    assert asked(role, '"Sales"."Deals"', columns={"closed_at": Column()}).value == "no column closed_at"


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("order", "Did you mean orders?"),
        ("Sales.Deals", 'Did you mean "Sales"."Deals"?'),
        ("deals", 'Did you mean "Sales"."Deals"?'),
        ("orderItems", "Did you mean order_items?"),
        ("nowhere.orders", "Did you mean orders?"),
        ("nothing_of_the_kind", "Look at the migrations"),
        ("orders; DROP TABLE orders", "Look at the migrations"),
    ],
)
def test_a_table_that_is_not_there_fails_with_what_may_be_meant(role: Reader, written: str, hint: str) -> None:
    role.execute('CREATE SCHEMA "Sales"', 'CREATE TABLE "Sales"."Deals" (id int)')
    found = asked(role, written)
    assert (found.outcome, found.value) == (Outcome.FAIL, "there is no such table")
    assert found.hint.startswith(hint)


def test_an_index_is_no_table(role: Reader) -> None:
    assert asked(role, "orders_pkey").value == "it is no table"


def test_an_index_that_could_not_be_built_is_not_valid(role: Reader, shop: Shop) -> None:
    with psycopg.connect(shop.url, autocommit=True) as owner:
        with pytest.raises(psycopg.errors.UniqueViolation):
            owner.execute("CREATE UNIQUE INDEX CONCURRENTLY one_city ON addresses (city)")
    found = asked(role, "addresses", indexes=("one_city",))
    assert (found.outcome, found.value) == (Outcome.FAIL, "the index one_city is not valid")
    assert found.hint.endswith("REINDEX INDEX CONCURRENTLY one_city")


def test_a_constraint_must_have_been_validated(role: Reader) -> None:
    role.execute("ALTER TABLE orders ADD CONSTRAINT short CHECK (length(note) < 100) NOT VALID")
    found = asked(role, constraints=("short",))
    assert (found.outcome, found.value) == (Outcome.FAIL, "the constraint short is not validated")
    assert found.hint == "In psql: ALTER TABLE orders VALIDATE CONSTRAINT short"
    role.execute("ALTER TABLE orders VALIDATE CONSTRAINT short")
    assert asked(role, constraints=("short",)).outcome is Outcome.PASS


def test_grants_that_are_lacking_are_named_with_what_to_type(role: Reader, anybody: Reader) -> None:
    """Scenario 2.6."""
    grants = {anybody.user: ("SELECT", "INSERT", "UPDATE")}
    role.execute(f"GRANT SELECT ON orders TO {anybody.user}")
    found = asked(role, grants=grants)
    assert (found.outcome, found.value) == (Outcome.FAIL, f"{anybody.user} lacks INSERT, UPDATE")
    assert found.hint == f"In psql: GRANT INSERT, UPDATE ON orders TO {anybody.user}"
    role.execute(found.hint.removeprefix("In psql: "))
    assert asked(role, grants=grants).outcome is Outcome.PASS


def test_grants_on_a_table_are_of_no_use_without_its_schema(role: Reader, anybody: Reader) -> None:
    role.execute("CREATE SCHEMA sales", "CREATE TABLE sales.deals (id int)",
                 f"GRANT SELECT ON sales.deals TO {anybody.user}")  # fmt: skip
    grants = {anybody.user: ("SELECT",)}
    found = asked(role, "sales.deals", grants=grants)
    assert (found.outcome, found.value) == (Outcome.FAIL, f"{anybody.user} may not use the schema sales")
    role.execute(found.hint.removeprefix("In psql: "))
    assert asked(role, "sales.deals", grants=grants).outcome is Outcome.PASS


def test_a_role_that_does_not_exist_is_said_not_to(role: Reader) -> None:
    found = asked(role, grants={"shop_app'; --": ("SELECT", "INSERT"), "pg_read_all_data": ("SELECT",)})
    assert (found.outcome, found.value) == (Outcome.FAIL, "there is no role shop_app'; --")


def test_a_schema_that_the_role_may_not_look_into_is_unknown_for_its_tables_alone(anybody: Reader) -> None:
    anybody.execute("CREATE SCHEMA sales", "CREATE TABLE sales.deals (id int)")
    found = anybody.ask(Schema(tables=(Table(name="sales.deals"), Table(name="orders"))))
    assert found["sales.deals"].outcome is Outcome.UNKNOWN
    assert found["sales.deals"].value == "PostgreSQL permission denied for schema sales"
    assert found["orders"].outcome is Outcome.PASS


def test_without_a_connection_it_is_unknown(role: Reader) -> None:
    with pytest.raises(OpsError, match="Connection refused"):
        role.ask(Schema(tables=(Table(name="orders"),)), port=1)


def test_a_table_that_somebody_has_locked_is_looked_at_all_the_same(role: Reader, shop: Shop) -> None:
    with psycopg.connect(shop.url) as other:
        other.execute("LOCK orders")
        assert asked(role, **ORDERS).outcome is Outcome.PASS
