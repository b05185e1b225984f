"""One exported snapshot: pg_dump and the counts see just the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.errors import DatabaseError
from ops.worker.connection import connect, failure
from ops.worker.manifest import Locale
from ops.worker.pulse import Pulse
from ops.worker.rows import Name, tables

LOCK_TIMEOUT = 60
"""Seconds to wait for a table that a migration holds."""
LOCK_TRIES = 10
"""How often to begin anew because tables came or went just then."""


@dataclass(frozen=True)
class Snapshot:
    """What a dump starts from.

    Args:
        id: the exported snapshot's id.
        tables: whose rows will be dumped; locked against being dropped or altered.
        server_version: such as ``17.10``.
        major: the server's major version.
        lsn: the write-ahead log's position.
        size: bytes on disk of the database, indexes included.
        locale: how it sorts and encodes.
        extensions: names and versions.
    """

    id: str
    tables: list[Name]
    server_version: str
    major: int
    lsn: str
    size: int
    locale: Locale
    extensions: dict[str, str]


@contextmanager
def exported(database: Postgres, pulse: Pulse) -> Iterator[tuple[Snapshot, psycopg.Connection]]:
    """Hold a snapshot open, with every table locked in ACCESS SHARE, as pg_dump will do again.

    Raises:
        DatabaseError: a table went away or stayed locked; nothing was begun yet.
    """
    with closing(connect(database, watched=pulse.cuts)) as connection:
        try:
            names = _lock(connection)
            snapshot = _take(connection, names)
        except psycopg.errors.LockNotAvailable:
            raise DatabaseError(
                f"a table stayed locked for {LOCK_TIMEOUT} s: {_blockers(database)}",
                "Wait for that to end, or end it, then run this again",
            ) from None
        except psycopg.errors.UndefinedTable as error:
            raise DatabaseError(
                f"a table was dropped while the backup began: {error.diag.message_primary}", "Run this again"
            ) from None
        except psycopg.Error as error:
            raise failure(error, database.parameters()) from None
        yield snapshot, connection


def _lock(connection: psycopg.Connection) -> list[Name]:
    """Begin the transaction with every table locked.

    First the locks, then the snapshot: a table that is rewritten in between would look empty to it.
    """
    for _ in range(LOCK_TRIES):
        names = tables(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if names:
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'")
            listed = sql.SQL(", ").join(sql.SQL("ONLY {}").format(name.quoted()) for name in names)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(listed))
        # The first query of the transaction, which fixes its snapshot.
        seen = tables(connection)
        if set(seen) == set(names):
            return seen
        connection.execute("ROLLBACK")
    raise DatabaseError(
        f"{LOCK_TRIES} times a table was made or dropped just as the backup began", "Run this again when that is over"
    )


def _take(connection: psycopg.Connection, names: list[Name]) -> Snapshot:
    id, lsn, size = _row(
        connection,
        """
        SELECT pg_export_snapshot(),
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
               pg_database_size(current_database())
        """,
    )
    version = connection.info.server_version
    return Snapshot(
        id=id,
        tables=names,
        server_version=f"{version // 10000}.{version % 10000}",
        major=version // 10000,
        lsn=lsn,
        size=size,
        locale=locale(connection),
        extensions=dict(connection.execute("SELECT extname, extversion FROM pg_extension").fetchall()),
    )


def locale(connection: psycopg.Connection) -> Locale:
    """How the database is sorted and encoded that the connection leads to."""
    found = _row(
        connection,
        """
        SELECT pg_encoding_to_char(d.encoding), d.datlocprovider::text, d.datcollate, d.datctype,
               coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
          FROM pg_database d WHERE d.datname = current_database()
        """,
    )
    return Locale(**dict(zip(("encoding", "provider", "collate", "ctype", "locale"), found, strict=True)))


def _row(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(row)


def _blockers(database: Postgres) -> str:
    """Who holds the strongest locks now; only to tell the operator, so a failure is no matter."""
    query = """
        SELECT DISTINCT format('process %s (%s, %s) holds %s',
                               a.pid, a.usename, a.application_name, l.relation::regclass)
          FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.mode = 'AccessExclusiveLock' AND l.granted AND l.relation IS NOT NULL LIMIT 3
    """
    try:
        with closing(connect(database)) as connection:
            return ", ".join(row[0] for row in connection.execute(query)) or "the holder is gone by now"
    except (psycopg.Error, DatabaseError):
        return "its holder is not known"
