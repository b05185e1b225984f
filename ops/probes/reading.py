"""A connection on which nothing can be written, for as long as a check may take."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg

from ops.database import Postgres
from ops.errors import DatabaseError
from ops.worker.connection import APPLICATION, KEEPALIVE, failure

AT_ONCE = 4
"""Connections that all checks together have open: a small server has few, and may be short of them just now."""

_turns = threading.BoundedSemaphore(AT_ONCE)
_STALE = 0.5
"""Seconds by which the server's own limit may be behind the time that is left."""
_WAITING = 0.8
"""Share of the time left that may go by in waiting for a lock, so that the server says that it was a lock."""
_MORE = "Look why, or give it more: timeout=…"
_HINTS: dict[type[psycopg.Error], str] = {
    psycopg.errors.QueryCanceled: _MORE,
    psycopg.errors.LockNotAvailable: "Another session has locked it: look who",
}
_SETTINGS = """
    SELECT set_config('default_transaction_read_only', 'on', false),
           set_config('statement_timeout', %(statement)s, false), set_config('lock_timeout', %(lock)s, false)
"""


class Reading:
    """Asks one question after the other, until the time is over.

    Args:
        connection: in autocommit.
        deadline: when the time is over, by ``time.monotonic``.
    """

    def __init__(self, connection: psycopg.Connection, deadline: float) -> None:
        self.connection = connection
        self._deadline = deadline
        self._limit = math.inf

    def rows(self, query: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The answer to a question.

        Args:
            query: of ours, in SQL.
            parameters: of it.

        Raises:
            DatabaseUnreachable: the connection broke.
            DatabaseError: the server refused, or there was no time left.
        """
        self.keep_time()
        with spoken():
            return self.connection.execute(query.encode(), parameters).fetchall()

    def row(self, query: str, parameters: dict[str, Any] | None = None) -> tuple[Any, ...]:
        """The one row of an answer, as ``rows``."""
        return self.rows(query, parameters)[0]

    def keep_time(self) -> None:
        """Have the server refuse what writes, and end what takes longer than there is time.

        Raises:
            DatabaseUnreachable: the connection broke.
            DatabaseError: there is no time left.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DatabaseError("PostgreSQL took too long for what was asked before", _MORE)
        if left > self._limit - _STALE:
            return
        # 0 would be no limit at all.
        limits = {"statement": f"{math.ceil(left * 1000)}ms", "lock": f"{math.ceil(left * _WAITING * 1000)}ms"}
        with spoken():
            self.connection.execute(_SETTINGS, limits)
        self._limit = left


@contextmanager
def reading(server: Postgres, seconds: float) -> Iterator[Reading]:
    """Connected while the block runs. Waiting for others to be done with theirs counts as well.

    Args:
        server: where.
        seconds: for which it may take.

    Raises:
        DatabaseUnreachable: no connection, or it broke.
        DatabaseError: the server refused something, or there was no time left.
    """
    deadline = time.monotonic() + seconds
    if not _turns.acquire(timeout=seconds):
        raise DatabaseError(f"other checks of the database took all of the {seconds:g} s", _MORE)
    try:
        with closing(_connect(server, deadline)) as connection, spoken():
            found = Reading(connection, deadline)
            found.keep_time()
            yield found
    finally:
        _turns.release()


def _connect(server: Postgres, deadline: float) -> psycopg.Connection:
    parameters = {**KEEPALIVE, **server.parameters(), "application_name": APPLICATION, "client_encoding": "UTF8"}
    left = min(int(KEEPALIVE["connect_timeout"]), max(1, math.ceil(deadline - time.monotonic())))
    parameters["connect_timeout"] = str(left)
    try:
        return psycopg.connect(**parameters, autocommit=True)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise failure(error, parameters) from None


@contextmanager
def spoken() -> Iterator[None]:
    """psycopg's errors as one line with a hint."""
    try:
        yield
    except psycopg.Error as error:
        told = failure(error)
        raise type(told)(told.problem, _HINTS.get(type(error), told.hint)) from None
