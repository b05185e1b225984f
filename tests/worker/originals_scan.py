"""A search for originals that knows nothing of the masking: every column as text, the statistics, and the raw files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psycopg
from psycopg import sql

from ops.sandbox.postgres import PostgresServer

_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname !~ '^pg_toast'
"""


def in_columns(server: PostgresServer, database: str, originals: Iterable[str]) -> list[str]:
    """Where one of the texts stands: in any column of any table, the catalogue and its statistics included."""
    wanted = [text.lower() for text in originals]
    found = []
    with psycopg.connect(server.url(database)) as connection:
        for schema, table, column in connection.execute(_COLUMNS).fetchall():
            query = sql.SQL(
                "SELECT w FROM unnest(%s::text[]) AS w WHERE EXISTS"
                " (SELECT FROM {table} AS t WHERE strpos(lower(t.{column}::text), w) > 0)"
            ).format(table=sql.Identifier(schema, table), column=sql.Identifier(column))
            found += [f"{schema}.{table}.{column}: {text}" for (text,) in connection.execute(query, [wanted])]
    return found


def in_files(server: PostgresServer, database: str, originals: Iterable[str]) -> list[str]:
    """Which of the texts stand in the database's files as they lie on the disk: dead rows, indexes, what was left."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    assert row is not None
    directory = server.data / "base" / str(row[0])
    files = {file.name: file.read_bytes().lower() for file in Path(directory).iterdir() if file.is_file()}
    return [
        f"{name}: {text}" for name, content in files.items() for text in originals if text.lower().encode() in content
    ]
