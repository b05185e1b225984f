from __future__ import annotations

import subprocess
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ops.errors import DatabaseError
from ops.sandbox import shop as shops
from ops.sandbox.postgres import PostgresServer

TABLES = """
    SELECT c.relname FROM pg_class AS c
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


def ask(url: str, question: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(question, values or None).fetchall()


def content(url: str) -> dict[str, tuple[Any, ...]]:
    tables = [name for (name,) in ask(url, TABLES)]
    count = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\")) FROM {} AS t"
    return {name: ask(url, count.format(name))[0] for name in tables}


@pytest.mark.parametrize(
    ("kind", "least", "query"),
    [
        ("tables", 10, TABLES.replace("'r'", "ANY ('{r,p}') AND NOT relispartition").replace("ORDER BY 1", "")),
        ("partitions", 4, "SELECT FROM pg_inherits WHERE inhparent = 'events'::regclass"),
        ("foreign keys", 8, "SELECT FROM pg_constraint WHERE contype = 'f' AND conparentid = 0"),
        ("check constraints", 5, "SELECT FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"),
        ("partial indexes", 2, "SELECT FROM pg_index WHERE indpred IS NOT NULL"),
        ("expression indexes", 3, "SELECT FROM pg_indexes WHERE schemaname = 'public' AND indexdef ~ '->>|lower|tsv'"),
        ("identity columns", 5, "SELECT FROM pg_attribute WHERE attidentity <> ''"),
        ("own sequences", 1, "SELECT FROM pg_sequences WHERE sequencename = 'invoice_number'"),
        ("views", 1, "SELECT FROM pg_views WHERE schemaname = 'public'"),
        ("materialized views", 1, "SELECT FROM pg_matviews WHERE ispopulated"),
        ("triggers", 1, "SELECT FROM pg_trigger WHERE NOT tgisinternal"),
        ("functions", 2, "SELECT FROM pg_proc WHERE pronamespace = 'public'::regnamespace"),
        (
            "columns of an enum with a default",
            1,
            "SELECT FROM pg_attribute WHERE atthasdef AND atttypid = 'order_status'::regtype",
        ),
        (
            "columns of jsonb",
            2,
            "SELECT FROM pg_attribute WHERE atttypid = 'jsonb'::regtype AND attnum > 0"
            " AND attrelid IN ('products'::regclass, 'events'::regclass)",
        ),
    ],
)
def test_it_has_what_makes_restores_hard(shop: shops.Shop, kind: str, least: int, query: str) -> None:
    assert ask(shop.url, f"SELECT count(*) FROM ({query}) AS found")[0][0] >= least, kind


def test_its_texts_are_of_many_scripts(shop: shops.Shop) -> None:
    (names,) = ask(shop.url, "SELECT string_agg(DISTINCT name, ' ') FROM customers")[0]
    assert {"Zoë", "美咲", "محمد", "שרה", "🎉", "O'Neil"} <= set(names.split())


def test_its_owner_may_create_databases_and_nothing_else(shop: shops.Shop) -> None:
    rights = "SELECT rolcreatedb, rolsuper, rolcreaterole, rolreplication FROM pg_roles WHERE rolname = current_user"
    assert ask(shop.url, rights) == [(True, False, False, False)]
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert ask(shop.url, owner) == [(shop.user,)]
    assert shop.password not in repr(shop)


def test_it_is_the_same_every_time_and_creating_it_again_changes_nothing(
    postgres: PostgresServer, shop: shops.Shop
) -> None:
    before = content(shop.url)
    with psycopg.connect(shop.url) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    again = shops.Shop(postgres, shop.password, shop.name)
    shops.fill(again, rows=2_000)
    assert content(shop.url) == before
    shops.fill(again, rows=4_000)
    assert content(shop.url) == before
    assert 1_500 < sum(rows for rows, _ in before.values()) < 2_500


def test_it_comes_back_from_a_dump(postgres: PostgresServer, shop: shops.Shop) -> None:
    copy = f"{shop.name}_copy"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {copy} OWNER {shop.user} TEMPLATE template0")
    dump = subprocess.run([postgres.bin_dir / "pg_dump", "-Fc", shop.url], stdout=subprocess.PIPE, check=True)
    target = make_conninfo(shop.url, dbname=copy)
    subprocess.run([postgres.bin_dir / "pg_restore", "--exit-on-error", "-d", target], input=dump.stdout, check=True)
    assert content(target) == content(shop.url)


def test_it_grows_to_the_wanted_size(shop: shops.Shop) -> None:
    shops.grow(shop.url, megabytes=40)
    assert 40e6 <= ask(shop.url, "SELECT pg_database_size(current_database())")[0][0] < 44e6


def test_what_the_server_refuses_is_said_without_the_password(postgres: PostgresServer, shop: shops.Shop) -> None:
    url = postgres.url(shop.name, shop.user, "the-wrong-password")
    with pytest.raises(DatabaseError, match="password authentication failed") as failure:
        shops.grow(url, megabytes=50)
    assert "the-wrong-password" not in str(failure.value)
