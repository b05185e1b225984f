"""Rows from one database straight into another."""

from __future__ import annotations

import select
from collections.abc import Callable

import psycopg
from psycopg import pq

BLOCK = 256 * 1024
"""Bytes that are gathered before they are sent on: PostgreSQL gives one row at a time."""


def pipe(
    near: psycopg.Connection, given: str, far: psycopg.Connection, taken: str, moved: Callable[[int], object]
) -> int:
    """Let one session give rows, and another take them; how many were taken.

    Waiting within libpq would keep every other thread of this process from running, the one included that cuts what
    does not move, and Ctrl-C from being heard. So it is always waited for the sockets.

    Args:
        near: gives.
        given: a ``COPY … TO STDOUT``.
        far: takes.
        taken: a ``COPY … FROM STDIN``.
        moved: told of the bytes that were sent on; what it raises ends it.

    Raises:
        psycopg.Error: one of them refused, or broke; neither session is good for anything then.
    """
    giving, taking = near.pgconn, far.pgconn
    _begin(giving, given, near.info.encoding)
    _begin(taking, taken, far.info.encoding)
    taking.nonblocking = 1
    gathered: list[memoryview | bytes] = []
    size = 0
    while (got := giving.get_copy_data(1))[0] >= 0:
        length, row = got
        if length == 0:
            _wait(giving)
            continue
        gathered.append(row or b"")
        size += length
        if size > BLOCK:
            _send(taking, gathered)
            moved(size)
            gathered.clear()
            size = 0
    _send(taking, gathered)
    moved(size)
    _end(giving)
    taking.put_copy_end()
    _flush(taking)
    taking.nonblocking = 0
    return _end(taking)


def _send(connection: pq.abc.PGconn, gathered: list[memoryview | bytes]) -> None:
    connection.put_copy_data(b"".join(gathered))
    _flush(connection)


def _flush(connection: pq.abc.PGconn) -> None:
    while connection.flush():
        # What the server has to say must be read, or it may wait for that before it reads on.
        readable, _, _ = select.select([connection.socket], [connection.socket], [])
        if readable:
            connection.consume_input()


def _wait(connection: pq.abc.PGconn) -> None:
    select.select([connection.socket], [], [])
    connection.consume_input()


def _begin(connection: pq.abc.PGconn, statement: str, encoding: str) -> None:
    connection.send_query(statement.encode(encoding))
    result = _result(connection)
    if result is None or result.status not in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT):
        raise _error(result)


def _end(connection: pq.abc.PGconn) -> int:
    rows = 0
    while result := _result(connection):
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise _error(result)
        rows = result.command_tuples or 0
    return rows


def _result(connection: pq.abc.PGconn) -> pq.abc.PGresult | None:
    connection.flush()
    while connection.is_busy():
        _wait(connection)
    return connection.get_result()


def _error(result: pq.abc.PGresult | None) -> psycopg.Error:
    return psycopg.OperationalError("no answer") if result is None else psycopg.errors.error_from_result(result)
