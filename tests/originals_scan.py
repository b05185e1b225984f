"""A search for originals that knows nothing of the masking: every column as text, the statistics, and the raw files."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


class Log:
    """What gets into the write-ahead log from now on, and so into its archive and to every replica."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._slot = f"ops_{secrets.token_hex(4)}"

    def __enter__(self) -> Log:
        # A slot, because every checkpoint takes files of the log for new ones.
        self._since = self._ask("SELECT lsn FROM pg_create_physical_replication_slot(%s, true)", self._slot)[0][0]
        return self

    def __exit__(self, *_: object) -> None:
        self._ask("SELECT pg_drop_replication_slot(%s)", self._slot)

    def _ask(self, query: str, value: str) -> list[Any]:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            return connection.execute(query, [value]).fetchall()

    def holding(self, originals: Iterable[str]) -> list[str]:
        """Which of the texts are in it."""
        pieces = self._ask(
            "SELECT f.name, s.file_offset, e.file_name, e.file_offset FROM pg_walfile_name_offset(%s) s,"
            " pg_walfile_name_offset(pg_current_wal_flush_lsn()) e, pg_ls_waldir() f"
            " WHERE f.name BETWEEN s.file_name AND e.file_name ORDER BY 1",
            self._since,
        )
        written = b""
        for number, (name, first, last, end) in enumerate(pieces):
            content = (self._server.data / "pg_wal" / name).read_bytes()
            # What lies behind the end was written long ago, into a file that is used again.
            written += content[0 if number else first : end if name == last else None]
        assert len(written) > 100_000
        return [text for text in originals if text.lower().encode() in written.lower()]
