"""A database in trouble: sessions that hold locks and wait for them, and a role that may only look."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.sandbox.postgres import PostgresServer


class Trouble:
    """Sessions of a shop's owner, each by a name, all of which end with the test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._sessions: list[psycopg.Connection] = []
        self._threads: list[threading.Thread] = []

    def session(self, application: str, autocommit: bool = True) -> psycopg.Connection:
        """One more; the first one that is opened is the oldest."""
        connection = psycopg.connect(self.url, autocommit=autocommit, application_name=application)
        self._sessions.append(connection)
        return connection

    def waits(self, application: str, statement: str) -> int:
        """A session that waits for a lock, and its pid."""
        connection = self.session(application)

        def run() -> None:
            with suppress(psycopg.Error):  # it is ended
                connection.execute(statement.encode())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)
        pid = connection.info.backend_pid
        with psycopg.connect(self.url, autocommit=True) as looking:
            until(lambda: looking.execute("SELECT FROM pg_locks WHERE pid = %s AND NOT granted", [pid]).rowcount)
        return pid

    def end(self) -> None:
        """End them all, the oldest first, so that nobody waits."""
        for connection in self._sessions:
            connection.close()
        for thread in self._threads:
            thread.join(20)


def until(condition: Callable[[], Any], within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def only_reading(server: PostgresServer, database: str) -> Iterator[Postgres]:
    """The database, described for a role that may look at everything, and change nothing."""
    name, password = f"looking_{secrets.token_hex(4)}", secrets.token_urlsafe(12)
    role, where = sql.Identifier(name), sql.Identifier(database)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        connection.execute(sql.SQL("GRANT pg_monitor, pg_read_all_data TO {}").format(role))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(where, role))
    try:
        yield Postgres(
            host="127.0.0.1", port=server.port, database=database, user=name, password=password, sslmode="disable"
        )
    finally:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(where, role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
