"""Ask a query of the user's own for its one value. It can only read."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import closing
from decimal import Decimal
from typing import Any, cast

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from ops.checks import Outcome, Result, Rows
from ops.checks.limits import number
from ops.errors import DatabaseError, printable
from ops.probes.reading import Reading, reading, spoken
from ops.worker.request import Request

_ONE = "Write it so that it gives one row with one column, as SELECT count(*) … does"
_NUMBER = "Write it so that it gives a number; of a time that is extract(epoch FROM …)"
_SHOWN = 100
"""Characters of a value."""


def ask(check: Rows, at: Request) -> Iterable[Result]:
    """One result.

    Raises:
        DatabaseError: no connection, the query is refused, or it does not give one value.
    """
    assert at.database is not None
    with reading(at.database, check.timeout) as found:
        value, text = _only_value(found, check.query)
    yield _judged(check, value, text)


def _only_value(found: Reading, query: str) -> tuple[Any, str]:
    """The value, and what psql shows of it.

    Raises:
        DatabaseError: the query is refused, or it gives something else.
    """
    found.keep_time()
    connection = found.connection
    encoding = connection.info.encoding
    sent = query.encode(encoding)
    with spoken():
        # In a block that is its own no procedure can commit, and go on without what makes it read alone.
        connection.execute("BEGIN READ ONLY")
        columns = _columns(connection, sent)
        if columns != 1:
            raise DatabaseError(f"the query gives {columns or 'no'} columns, not one", _ONE)
        cursor = connection.cursor()
        rows: list[tuple[Any, str]] = []
        # Of a query that gives millions of rows, no more than two are read.
        with closing(cast("Generator[tuple[Any, ...]]", cursor.stream(sent))) as streamed:
            for (value,) in streamed:
                assert cursor.pgresult is not None
                text = cursor.pgresult.get_value(0, 0)
                rows.append((value, "NULL" if text is None else text.decode(encoding)))
                if len(rows) > 1:
                    raise DatabaseError("the query gives more than one row", _ONE)
    if not rows:
        raise DatabaseError("the query gives no row", _ONE)
    return rows[0]


def _columns(connection: psycopg.Connection, query: bytes) -> int:
    """How many columns a query has, before it is carried out: what has none is no question, but does something.

    It is prepared, which PostgreSQL does with one statement alone: there is none to come after a COMMIT.
    """
    result = connection.pgconn.prepare(b"", query)
    if result.status == ExecStatus.COMMAND_OK:
        result = connection.pgconn.describe_prepared(b"")
    if result.status != ExecStatus.COMMAND_OK:
        raise error_from_result(result, encoding=connection.info.encoding)
    return result.nfields


def _judged(check: Rows, value: Any, text: str) -> Result:
    limits = [f"≥ {number(check.at_least)}"] if check.at_least is not None else []
    limits += [f"≤ {number(check.at_most)}"] if check.at_most is not None else []
    compared = check.equals is not None or not limits
    limits += [f"= {_written(check.equals)}"] if compared else []
    limit, shown = " and ".join(limits), printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…") or "''"
    good = not compared or _equal(value, text, check.equals)
    if check.at_least is not None or check.at_most is not None:
        if not _is_number(value) or math.isnan(value):
            return Result(Outcome.UNKNOWN, f"{shown}, which is no number", limit, _NUMBER)
        good = good and (check.at_least is None or value >= check.at_least)
        good = good and (check.at_most is None or value <= check.at_most)
    hint = "" if good else f"Look at what it finds, in psql: {printable(check.query)}"
    return Result(Outcome.PASS if good else Outcome.FAIL, shown, limit, hint)


def _equal(value: Any, text: str, wanted: str | int | float | bool | None) -> bool:
    """A text is compared with what psql shows, so that dates, ids and the like can be; a number by what it is worth."""
    if value is None or wanted is None:
        return value is wanted
    if isinstance(wanted, str):
        return text == wanted
    if isinstance(wanted, bool):
        return value is wanted
    if not _is_number(value):
        return False
    if isinstance(value, float):
        return math.isclose(value, wanted, rel_tol=1e-9)
    return Decimal(value) == Decimal(str(wanted))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _written(wanted: str | int | float | bool | None) -> str:
    """As psql shows it, so that it can be compared with the value by eye."""
    if wanted is None:
        return "NULL"
    if isinstance(wanted, bool):
        return "t" if wanted else "f"
    return str(wanted)
