"""The database of a shop: something real enough to back up, break and restore."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.errors import DatabaseError
from ops.sandbox.postgres import PostgresServer
from ops.secrets import Secret

OWNER = "shop_owner"
DATABASE = "shop"


@dataclass(frozen=True)
class Shop:
    """A shop's database, and the role that owns it.

    Args:
        server: the server that it is on.
        password: of the owner.
        name: the database.
        user: the owner, who may create databases and is no superuser.
    """

    server: PostgresServer
    password: str = field(repr=False)
    name: str = DATABASE
    user: str = OWNER

    @property
    def url(self) -> str:
        """The owner's connection URL, password included."""
        return self.server.url(self.name, self.user, self.password)

    def description(self) -> Postgres:
        """The shop as an environment describes it."""
        return Postgres(
            host="127.0.0.1",
            port=self.server.port,
            database=self.name,
            user=self.user,
            password=Secret("the shop's password", lambda: self.password),
        )


def create(server: PostgresServer, password: str | None = None, rows: int = 200_000, monitors: bool = False) -> Shop:
    """Make the shop where it is absent; a shop that is there keeps its rows.

    Args:
        server: a running server.
        password: the owner's password from now on; a random one when not given.
        rows: how many rows there are to be in all tables together, roughly; at least some hundreds are made.
        monitors: whether the owner may see what other roles do, as checks need it.

    Raises:
        DatabaseError: the server refused.
    """
    shop = Shop(server, password or secrets.token_urlsafe(24))
    try:
        _create_role_and_database(shop, monitors)
    except psycopg.Error as error:
        raise _refused(shop, error) from None
    fill(shop, rows)
    return shop


def fill(shop: Shop, rows: int) -> None:
    """Make the shop's tables and rows in its database where they are absent: all or none.

    Args:
        shop: whose database exists.
        rows: as in ``create``.

    Raises:
        DatabaseError: the server refused.
    """
    try:
        with psycopg.connect(shop.url) as connection:
            if connection.execute("SELECT to_regclass('public.orders')").fetchone() == (None,):
                connection.execute("SELECT set_config('shop.rows', %s, true)", [str(rows)])
                connection.execute(Path(__file__).with_name("shop.sql").read_bytes())
                connection.execute("ANALYZE")
    except psycopg.Error as error:
        raise _refused(shop, error) from None


def _refused(shop: Shop, error: psycopg.Error) -> DatabaseError:
    return DatabaseError(f"the sandbox's shop cannot be made: {error}", f"See {shop.server.log}")


def _create_role_and_database(shop: Shop, monitors: bool) -> None:
    role, database = sql.Identifier(shop.user), sql.Identifier(shop.name)
    with psycopg.connect(shop.server.url(), autocommit=True) as connection:
        known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [shop.user]).rowcount
        verb = sql.SQL("ALTER" if known else "CREATE")
        connection.execute(
            sql.SQL("{} ROLE {} LOGIN CREATEDB PASSWORD {}").format(verb, role, sql.Literal(shop.password))
        )
        if monitors:
            connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(role))
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [shop.name]).rowcount:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))


_BYTES_PER_EVENT = 550

_MORE_EVENTS = """
    INSERT INTO events (at, customer_id, kind, payload)
    SELECT timestamptz '2026-01-01' + random() * interval '1 year', (random() * 10000)::int,
           word('{view,search,basket,checkout}', i),
           jsonb_build_object(
               'path', '/p/' || i %% 977, 'session', md5(random()::text), 'took_ms', (random() * 400)::int,
               'agent', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/' || i %% 40,
               'referrer', 'https://www.example.com/search?q=' || md5((i %% 5000)::text),
               'token', md5(random()::text) || md5(random()::text))
    FROM generate_series(1, %s) AS i
"""


def grow(url: str, megabytes: float) -> None:
    """Add events until the shop's database is this large; about 30 MB a second on two cores.

    What is added compresses to about a quarter.

    Args:
        url: the connection URL of a shop.
        megabytes: the wanted size of the database, in millions of bytes.

    Raises:
        DatabaseError: the server refused, or its disk is full.
    """
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            while (missing := megabytes * 1e6 - _size(connection)) > 0:
                rows = max(1_000, min(200_000, int(missing / _BYTES_PER_EVENT)))
                connection.execute(_MORE_EVENTS, [rows])
    except psycopg.Error as error:
        raise DatabaseError(f"the shop cannot be made larger: {error}", "Look at the server's log") from None


def _size(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0
