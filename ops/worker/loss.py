"""What a restore would lose, and whether it could be carried out: looked at before anything changes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql

from ops import clock
from ops.database import Postgres
from ops.errors import DatabaseError
from ops.stores import open_store
from ops.worker.attributes import marks
from ops.worker.beside import beside, proven
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect, failure
from ops.worker.fingerprint import differences, fingerprint
from ops.worker.manifest import Manifest
from ops.worker.request import Request
from ops.worker.rows import Name, large_objects, tables
from ops.worker.sessions import sessions

_TIMES = """
    SELECT attname FROM pg_attribute
     WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
       AND atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
"""
_ROLE = """
    SELECT current_user, rolsuper OR (rolcreatedb AND pg_has_role(d.datdba, 'USAGE')), pg_database_size(d.oid),
           pg_get_userbyid(d.datdba)
      FROM pg_roles, pg_database d WHERE rolname = current_user AND d.datname = current_database()
"""
_PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
_SUBSCRIPTIONS = """
    SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_HERE = ("127.0.0.1", "::1", "localhost")
_SLOTS = "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()"


def run(request: Request) -> dict[str, Any]:
    """Compare the database as it is with a backup, table by table, and see who holds it open. Only reads.

    Raises:
        OpsError: a restore could not be carried out, and why.
    """
    assert request.database is not None
    database = request.database
    catalogue = Catalogue(open_store(request.store), request.environment, request.database_name)
    name = beside(database)
    began = time.monotonic()
    backup = proven(catalogue, request.backup, request.migration)
    assert backup.manifest is not None and backup.verification is not None
    with closing(connect(database)) as connection:
        try:
            size, free = _able(connection, database), _free(connection, database)
            answer: dict[str, Any] = {
                "backup": backup.to_json(),
                "beside": name,
                "size": size,
                "free": free,
                "current": marks(connection, database.name()),
                "sessions": [str(one) for one in sessions(connection, database.name())],
                "stays_behind": [str(slot) for (slot,) in connection.execute(_SLOTS)],
                "tables": lost(connection, _rows(backup.manifest), backup.manifest.finished),
                "schema": _schema(connection, backup.manifest),
                "took": backup.verification.seconds,
            }
        except psycopg.Error as error:
            raise failure(error, database.parameters()) from None
    if free is not None and free < size * 1.1:
        raise DatabaseError(
            f"the server has {free / 1e6:.0f} MB free, and {name} will need about {size / 1e6:.0f} MB",
            "Make room: drop what earlier restores have kept",
        )
    return {**answer, "seconds": round(time.monotonic() - began, 3)}


def lost(connection: psycopg.Connection, rows_then: Mapping[Name, int], finished: str) -> list[dict[str, Any]]:
    """Each table that has not as many rows as then, or newer ones, with the newest time that stands in it.

    Args:
        connection: to the database as it is.
        rows_then: of each table in what is to take its place.
        finished: the time of that.
    """
    then, found = dict(rows_then), []
    connection.execute("SELECT set_config('row_security', 'off', false), set_config('timezone', 'UTC', false)")
    for name in tables(connection):
        rows, newest = _look(connection, name)
        before = then.pop(name, None)
        if before != rows or (newest is not None and newest > finished):
            found.append({"table": str(name), "now": rows, "then": before, "newest": newest})
    found += [{"table": str(name), "now": None, "then": rows, "newest": None} for name, rows in then.items()]
    return sorted(found, key=lambda one: (one["then"] or 0) - (one["now"] or 0))


def _rows(manifest: Manifest) -> dict[Name, int]:
    return {Name(table.schema_name, table.name): table.rows for table in manifest.tables}


def _look(connection: psycopg.Connection, name: Name) -> tuple[int, str | None]:
    """Rows, and the newest time in the past: what is still to come says nothing of when a row was written."""
    columns = [
        sql.Identifier(column) for (column,) in connection.execute(_TIMES, [name.quoted().as_string(connection)])
    ]
    newest = sql.SQL("max({0}) FILTER (WHERE {0} <= now() AND {0} > '0002-01-01')")
    times = [newest.format(column) for column in columns]
    latest = sql.SQL("greatest({})").format(sql.SQL(", ").join(times)) if times else sql.SQL("NULL")
    row = connection.execute(sql.SQL("SELECT count(*), {} FROM ONLY {}").format(latest, name.quoted())).fetchone()
    assert row is not None
    return int(row[0]), row[1] and clock.iso(row[1])


def _schema(connection: psycopg.Connection, manifest: Manifest) -> list[str]:
    """Objects that were made, changed or dropped since, and large objects."""
    found = differences(manifest.fingerprint, fingerprint(connection), "the backup")
    objects = large_objects(connection)
    if objects != manifest.large_objects:
        found.append(f"{objects} large objects, {manifest.large_objects} in the backup")
    return found


def _able(connection: psycopg.Connection, database: Postgres) -> int:
    """The size of the database in bytes, when our role may swap it."""
    row = connection.execute(_ROLE).fetchone()
    assert row is not None
    role, may, size, owner = row
    if not may:
        member = "" if role == owner else f"; GRANT {owner} TO {role}"
        raise DatabaseError(
            f"{role} may not swap {database.name()}, which {owner} owns",
            f"As a superuser, type in psql: ALTER ROLE {role} CREATEDB{member}",
        )
    feeds = [str(name) for (name,) in connection.execute(_SUBSCRIPTIONS)]
    if feeds:
        raise DatabaseError(
            f"{database.name()} has the subscription {', '.join(feeds)}, which would go on where it is kept",
            "Drop the subscription, and make it anew afterwards",
        )
    if connection.execute(_PREPARED).fetchone() != (0,):
        raise DatabaseError(
            f"{database.name()} has prepared transactions, which hold it open", "Commit them or roll them back"
        )
    held = [one for one in sessions(connection, database.name()) if not one.endable]
    if held:
        raise DatabaseError(
            f"{database.name()} is held open by what {role} may not end: {'; '.join(map(str, held[:3]))}",
            f"End them yourself, or type in psql: GRANT pg_signal_backend TO {role}",
        )
    return int(size)


def _free(connection: psycopg.Connection, database: Postgres) -> int | None:
    """Bytes free where the server keeps its data; None when that is another machine's, or is not told."""
    if database.parameters()["host"] not in _HERE:
        return None
    try:
        row = connection.execute("SHOW data_directory").fetchone()
        told = os.statvfs(str(row[0])) if row else None
    except (psycopg.errors.InsufficientPrivilege, OSError):
        return None
    return told and told.f_bavail * told.f_frsize
