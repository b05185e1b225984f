"""Roles that only read, each with a password of its own, and what they ask."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ops import Directory, Postgres
from ops.checks import Check, Result
from ops.probes import ask
from ops.sandbox.postgres import PostgresServer
from ops.worker.request import Request


@dataclass
class Reader:
    """A role on a server, and a database there."""

    server: PostgresServer
    database: str
    user: str
    password: str

    @property
    def url(self) -> str:
        return self.server.url(self.database, self.user, self.password)

    def request(self, **but: Any) -> Request:
        """As the worker is given it; ``but``: parts of the database's description that are otherwise."""
        described = {"host": "127.0.0.1", "port": self.server.port, "database": self.database, "user": self.user,
                     "password": self.password, **but}  # fmt: skip
        store = Directory(path="/nonexistent/backups")
        return Request(
            environment="test", database_name=self.database, owner="tests@here", store=store,
            database=Postgres(**described),
        )  # fmt: skip

    def ask(self, check: Check, **but: Any) -> dict[str, Result]:
        """What came of a check, by what it looked at."""
        return {one.what: one for one in ask(check, self.request(**but))}

    def execute(self, *statements: str) -> None:
        """Statements of the superuser's in the database."""
        with psycopg.connect(self.server.url(self.database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@contextmanager
def reader(server: PostgresServer, database: str, *member_of: str) -> Iterator[Reader]:
    """A role that may connect to one database, and what it is granted through others. It is dropped again."""
    found = Reader(server, database, f"reader_{secrets.token_hex(4)}", secrets.token_urlsafe(12))
    role = sql.Identifier(found.user)
    with psycopg.connect(server.url(database)) as admin:  # in one transaction: a standby has all of it or nothing
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(found.password)))
        admin.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), role))
        for one in member_of:
            admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(one), role))
    try:
        yield found
    finally:
        with psycopg.connect(server.url(database), autocommit=True) as admin:
            ends = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = %s"
            admin.execute(ends, [found.user])
            admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
            admin.execute(sql.SQL("DROP ROLE {}").format(role))
