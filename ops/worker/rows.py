"""Exact row counts of every table that a dump contains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql

# Temporary tables are not dumped, an extension's own tables come back with it, and a partitioned table's rows are its
# partitions'. An extension's configuration tables are dumped in part, by a condition, and so are left to pg_dump.
_TABLES = """
    SELECT n.nspname, c.relname
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence <> 't'
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend e
                        WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
     ORDER BY c.relpages DESC, 1, 2
"""


@dataclass(frozen=True)
class Name:
    """A table's schema and name."""

    schema: str
    table: str

    def quoted(self) -> sql.Identifier:
        """As SQL."""
        return sql.Identifier(self.schema, self.table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


def tables(connection: psycopg.Connection) -> list[Name]:
    """The tables whose rows a dump contains, the largest first."""
    return [Name(*row) for row in connection.execute(_TABLES)]


def count(connection: psycopg.Connection, names: Iterable[Name], counted: Callable[[Name], object]) -> dict[Name, int]:
    """Count each table's own rows, partitions apart. Row-level security must not hide any: it is an error."""
    connection.execute("SET row_security = off")
    found = {}
    for name in names:
        row = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(name.quoted())).fetchone()
        assert row is not None
        found[name] = int(row[0])
        counted(name)
    return found


def large_objects(connection: psycopg.Connection) -> int:
    """How many large objects there are."""
    row = connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
    assert row is not None
    return int(row[0])
