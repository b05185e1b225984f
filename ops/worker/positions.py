"""Where sequences stand: carried from one database to another, for those that were never used as well."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from ops.worker.fingerprint import sequences
from ops.worker.rows import Name

_OWNED = """
    SELECT a.attname, s.oid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
      JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_class'::regclass AND d.refobjid = to_regclass(%s) AND d.deptype IN ('a', 'i')
"""


def of(connection: psycopg.Connection, names: Iterable[str]) -> dict[str, tuple[int, bool]]:
    """The value of each, and whether it was given away already: one that was set may be to begin with it.

    Args:
        connection: to their database.
        names: as SQL.
    """
    one = sql.SQL("SELECT {}::text, last_value, is_called FROM {}")
    asked = [one.format(sql.Literal(name), sql.SQL(name)) for name in names]
    if not asked:
        return {}
    found = connection.execute(sql.SQL(" UNION ALL ").join(asked)).fetchall()
    return {name: (value, called) for name, value, called in found}


def carry(source: psycopg.Connection, target: psycopg.Connection, but: Iterable[Name] = ()) -> None:
    """Let all stand in the target as in the source.

    Args:
        source: only read.
        target: has the same ones.
        but: tables whose sequences stay as they are.
    """
    spared = {name for table in but for name in owned(target, table).values()}
    there = set(sequences(target))
    _put(target, of(source, [name for name in sequences(source) if name in there - spared]))


def carry_owned(source: psycopg.Connection, target: psycopg.Connection, table: Name) -> None:
    """Let those that fill a table's columns stand in the target as in the source, whatever they are called."""
    called, there = owned(source, table), owned(target, table)
    found = of(source, called.values())
    _put(target, {there[column]: found[name] for column, name in called.items() if column in there})


def owned(connection: psycopg.Connection, table: Name) -> dict[str, str]:
    """The sequences that fill a table's columns, by column."""
    connection.execute("SELECT set_config('search_path', '', false)")
    return dict(connection.execute(_OWNED, [table.quoted().as_string(connection)]).fetchall())


def _put(target: psycopg.Connection, positions: dict[str, tuple[int, bool]]) -> None:
    for name, (value, called) in positions.items():
        target.execute("SELECT setval(%s::regclass, %s, %s)", [name, value, called])
