"""Rows from one database straight into another."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import pq

BLOCK = 256 * 1024
"""Bytes that are gathered before they are sent on: PostgreSQL gives one row at a time."""


def pipe(
    near: psycopg.Connection, asked: str, far: psycopg.Connection, taken: str, moved: Callable[[int], object]
) -> int:
    """Let one session give rows, and another take them; how many were taken.

    Args:
        near: gives.
        asked: a query.
        far: takes.
        taken: a ``COPY … FROM STDIN``.
        moved: told of the bytes that were sent on; what it raises ends it.

    Raises:
        psycopg.Error: one of them refused, or broke; neither session is good for anything then.
    """
    giving, taking = near.pgconn, far.pgconn
    _begin(giving, f"COPY ({asked}) TO STDOUT", near.info.encoding)
    _begin(taking, taken, far.info.encoding)
    gathered: list[memoryview | bytes] = []
    size = 0
    while True:
        length, row = giving.get_copy_data(0)
        if length < 0:
            break
        gathered.append(row or b"")
        size += length
        if size > BLOCK:
            taking.put_copy_data(b"".join(gathered))
            moved(size)
            gathered.clear()
            size = 0
    taking.put_copy_data(b"".join(gathered))
    moved(size)
    _end(giving)
    taking.put_copy_end()
    return _end(taking)


def _begin(connection: pq.abc.PGconn, statement: str, encoding: str) -> None:
    result = connection.exec_(statement.encode(encoding))
    if result.status not in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT):
        raise psycopg.errors.error_from_result(result)


def _end(connection: pq.abc.PGconn) -> int:
    rows = 0
    while result := connection.get_result():
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
        rows = result.command_tuples or 0
    return rows
