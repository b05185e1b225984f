"""What is lost when migrations are undone: rows, and the values of columns, counted before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ops.worker.rows import tables

# What is computed from other columns is no value of its own.
_COLUMNS = """
    SELECT attrelid, attnum, attname, quote_ident(attname) FROM pg_attribute
     WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""


@dataclass(frozen=True)
class Table:
    """What is in one.

    Args:
        name: schema and name, quoted where they must be.
        rows: how many it has.
        values: of each column, by its number: its name, and in how many rows it has one.
    """

    name: str
    rows: int
    values: dict[int, tuple[str, int]]


def contents(connection: psycopg.Connection, account: str) -> dict[int, Table]:
    """What is in each table, by its object id, which outlives its name. Each is read once, whole.

    Args:
        connection: to the copy.
        account: the engine's own table, which is left out, as SQL writes it.
    """
    connection.execute("SET row_security = off")
    own = connection.execute("SELECT to_regclass(%s)::oid", [account]).fetchone()
    found = {}
    for table in tables(connection):
        spelled = table.quoted().as_string(connection)
        columns = connection.execute(_COLUMNS, [spelled]).fetchall()
        counts = sql.SQL("").join(sql.SQL(", count({})").format(sql.Identifier(name)) for _, _, name, _ in columns)
        numbers = connection.execute(
            sql.SQL("SELECT count(*){} FROM ONLY {}").format(counts, table.quoted())
        ).fetchone()
        if columns and numbers and (oid := columns[0][0]) not in (own or ()):
            values = {number: (name, count) for (_, number, _, name), count in zip(columns, numbers[1:], strict=True)}
            found[oid] = Table(str(table), numbers[0], values)
    return found


def losses(before: Mapping[int, Table], after: Mapping[int, Table]) -> list[dict[str, Any]]:
    """Tables and columns that have less than before, as the worker's answer carries them.

    What was only renamed has lost nothing, and what was made anew only what was not put back.
    """
    named = {table.name: table for table in after.values()}
    lost: list[dict[str, Any]] = []
    for oid, table in before.items():
        now = after.get(oid) or named.get(table.name)
        rows = table.rows - (now.rows if now else 0)
        if rows > 0:
            lost.append({"what": table.name, "rows": rows})
        if now is None:
            continue
        by_name = dict(now.values.values())
        for number, (name, count) in table.values.items():
            kept = now.values[number][1] if oid in after and number in now.values else by_name.get(name, 0)
            # The rows that are gone took their values along.
            if count - kept > max(rows, 0):
                lost.append({"what": f"{table.name}.{name}", "values": count - kept})
    return lost
