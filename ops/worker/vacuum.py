"""Vacuum and analyse a table, beside everybody who reads and writes it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ops.database import Postgres
from ops.errors import ConfigurationError, DatabaseError
from ops.treatments import VacuumTable
from ops.worker.connection import connect, failure, legible
from ops.worker.progress import reporting
from ops.worker.pulse import Pulse
from ops.worker.request import Request
from ops.worker.watch import Watch

LOCK_TIMEOUT = "5s"
"""How long it may wait for who alters the table, or vacuums it; autovacuum gives way sooner."""
_FIND = "SELECT to_regclass(%s)::oid AS oid"
# What is partitioned is vacuumed by its partitions, and has no rows of its own.
_TABLE = """
    WITH RECURSIVE tree AS (
      SELECT oid, relkind FROM pg_class WHERE oid = %(oid)s
      UNION ALL
      SELECT c.oid, c.relkind FROM tree JOIN pg_inherits i ON tree.relkind = 'p' AND i.inhparent = tree.oid
        JOIN pg_class c ON c.oid = i.inhrelid
    ), stats AS (
      SELECT coalesce(sum(s.n_dead_tup), 0)::bigint AS dead, coalesce(sum(s.n_live_tup), 0)::bigint AS live,
             coalesce(sum(pg_relation_size(t.oid)), 0)::bigint AS size,
             coalesce(sum(s.n_mod_since_analyze), 0)::bigint AS modified,
             coalesce(bool_and(greatest(s.last_analyze, s.last_autoanalyze) IS NOT NULL), true) AS analyzed
        FROM tree t JOIN pg_stat_all_tables s ON s.relid = t.oid WHERE t.relkind <> 'p'
    )
    SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, stats.*,
           pg_has_role(c.relowner, 'USAGE')
             OR (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) AS allowed
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, stats WHERE c.oid = %(oid)s
"""
_HOLDER = """
    SELECT pid, usename::text AS role, application_name AS application,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
      FROM pg_stat_activity
     WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()
     ORDER BY age(backend_xmin) DESC LIMIT 1
"""
_PROGRESS = """
    SELECT relid::regclass::text, phase, 100 * heap_blks_scanned / greatest(heap_blks_total, 1), index_vacuum_count
      FROM pg_stat_progress_vacuum WHERE pid = %s
"""


def run(request: Request) -> dict[str, Any]:
    """Look what is dead in a table, or vacuum it.

    Raises:
        ConfigurationError: there is no such table.
        DatabaseError: it could not be vacuumed, or our role may not.
    """
    treatment, database = request.treatment, request.database
    assert isinstance(treatment, VacuumTable)
    assert database is not None
    with Pulse(database.deadline, database) as pulse, closing(connect(database, watched=pulse.cuts)) as connection:
        try:
            legible(connection)
            found = _look(connection, treatment.table)
            if request.look:
                return found
            began = time.monotonic()
            _vacuum(connection, database, found)
            after = _look(connection, treatment.table)
            return {
                **after,
                "before": found["dead"],
                "seconds": time.monotonic() - began,
                "holder": _holder(connection),
            }
        except psycopg.Error as error:
            raise failure(error, database.parameters()) from None


def _look(connection: psycopg.Connection, table: str) -> dict[str, Any]:
    cursor = connection.cursor(row_factory=dict_row)
    try:
        oid = (cursor.execute(_FIND, [table]).fetchone() or {})["oid"]
    except (psycopg.errors.InvalidName, psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported):
        oid = None
    if oid is None:
        raise ConfigurationError(f"there is no table {table}", "Write it as in SQL, with its schema: public.orders")
    cursor.execute("SET lock_timeout = '1s'")  # its size cannot be asked for while somebody alters it
    found = cursor.execute(_TABLE, {"oid": oid}).fetchone()
    if found is None or found["kind"] not in ("r", "m", "p"):
        raise ConfigurationError(f"{table} is no table", "Only tables are vacuumed")
    allowed = found.pop("allowed")
    if not allowed and connection.info.server_version >= 170000:
        allowed = connection.execute("SELECT has_table_privilege(%s::oid, 'MAINTAIN')", [oid]).fetchone() == (True,)
    if not allowed:
        raise DatabaseError(
            f"the role {connection.info.user} may not vacuum {table}, because it does not own it",
            "Do it as its owner; from PostgreSQL 17 on, GRANT MAINTAIN will do",
        )
    fresh = bool(found["analyzed"]) and not found["dead"] and not found["modified"]
    return {**found, "fresh": fresh}


def _vacuum(connection: psycopg.Connection, database: Postgres, found: dict[str, Any]) -> None:
    name = sql.Identifier(found["schema"], found["name"])
    warnings: list[str] = []
    connection.add_notice_handler(
        lambda notice: (
            warnings.append(notice.message_primary or "") if notice.severity_nonlocalized == "WARNING" else None
        )
    )
    connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
    with _Progress(database, connection.info.backend_pid) as progress, reporting(lambda: progress.seen):
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(name))
    if warnings:
        raise DatabaseError(
            f"{found['schema']}.{found['name']} was not vacuumed whole: {warnings[0]}", "See what it says"
        )


def _holder(connection: psycopg.Connection) -> dict[str, Any] | None:
    """Whose transaction is the oldest, because of which dead rows must stay."""
    return connection.cursor(row_factory=dict_row).execute(_HOLDER).fetchone()


class _Progress(Watch):
    """How far a VACUUM is.

    Args:
        database: where.
        pid: of the backend that vacuums.
    """

    def __init__(self, database: Postgres, pid: int) -> None:
        super().__init__(0.5, database)
        self.seen = "vacuuming"
        self._pid = pid

    def look(self) -> None:
        """See ``Watch``."""
        row = self.connection.execute(_PROGRESS, [self._pid]).fetchone()
        if row is None:
            self.seen = "analyzing"
        else:
            table, phase, share, passes = row
            self.seen = f"vacuuming {table}: {phase}, {share} % read, indexes cleaned {passes} times"
