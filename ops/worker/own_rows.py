"""Rows that an environment keeps of its own, whatever another one's data is put around them."""

from __future__ import annotations

from contextlib import closing

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.errors import DatabaseError
from ops.worker import positions
from ops.worker.connection import connect
from ops.worker.piped import pipe
from ops.worker.progress import say
from ops.worker.pulse import Pulse
from ops.worker.rows import Name

_COLUMNS = """
    SELECT attname FROM pg_attribute
     WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_PARTED = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(%s)"


def put_back(database: Postgres, target: Postgres, tables: list[Name], pulse: Pulse) -> dict[str, int]:
    """Copy the rows of some tables from the database as it is into the new one; how many, by table.

    What the new table has no column for is left out, and said; a table that is not there yet stays empty.

    Args:
        database: as it is; only read.
        target: the new one, without constraints yet.
        tables: their names.
        pulse: is told of what moves.

    Raises:
        DatabaseError: the rows do not fit the new table; names it, and no value of it.
    """
    found: dict[str, int] = {}
    with closing(connect(database, watched=pulse.cuts)) as old, closing(connect(target, watched=pulse.cuts)) as new:
        old.execute("SET row_security = off")
        for name in tables:
            table = name.quoted().as_string(old)
            here = [str(column) for (column,) in old.execute(_COLUMNS, [table])]
            there = [str(column) for (column,) in new.execute(_COLUMNS, [table])]
            columns = [column for column in there if column in here]
            if not here or not columns:
                say(f"{name} has no rows of its own yet: it stays empty")
                found[str(name)] = 0
                continue
            if lost := [column for column in here if column not in there]:
                say(f"{name} has no {', '.join(lost)} any more: left out of its own rows")
            found[str(name)] = _copy(old, new, name, columns, pulse)
            positions.carry_owned(old, new, name)
    return found


def _copy(old: psycopg.Connection, new: psycopg.Connection, name: Name, columns: list[str], pulse: Pulse) -> int:
    named = sql.SQL(", ").join(map(sql.Identifier, columns))
    # Of a partitioned table the rows are in its parts; those of what inherits from another are not that one's.
    parted = old.execute(_PARTED, [name.quoted().as_string(old)]).fetchone() == (True,)
    only = sql.SQL("" if parted else "ONLY ")
    given = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT").format(named, only, name.quoted()).as_string(old)
    taken = sql.SQL("COPY {} ({}) FROM STDIN").format(name.quoted(), named).as_string(new)
    try:
        return pipe(old, given, new, taken, lambda size: pulse.beat())
    except psycopg.Error as error:
        # What PostgreSQL says of a row quotes it.
        raise DatabaseError(
            f"the own rows of {name} do not fit the new table: PostgreSQL {type(error).__name__}",
            "Look at what was changed in production; or write another rule for the table",
        ) from None
