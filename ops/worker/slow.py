"""Which statements take long, as pg_stat_statements counts them."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from ops.errors import DatabaseError
from ops.literals import masked

_THERE = """
    SELECT n.nspname AS schema, e.extversion AS version,
           (SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries') AS preloaded
      FROM (SELECT) AS always
      LEFT JOIN pg_extension e ON e.extname = 'pg_stat_statements' LEFT JOIN pg_namespace n ON n.oid = e.extnamespace
"""
# A share is one of all that this database did, and not only of what is slow.
_SLOW = """
    WITH own AS MATERIALIZED (
      SELECT query, calls, total_exec_time / 1000 AS total, mean_exec_time / 1000 AS mean FROM {view}
       WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT query, calls, mean, total, total / nullif((SELECT sum(total) FROM own), 0) AS share, count(*) OVER () AS slow
      FROM own WHERE mean >= {limit} ORDER BY total DESC LIMIT 20
"""
_SINCE = "SELECT extract(epoch FROM now() - stats_reset)::float8 AS seconds FROM {view}"


def slow(cursor: psycopg.Cursor[dict[str, Any]], limit: float) -> dict[str, Any]:
    """The statements that take ``limit`` seconds or more on average, those that took the most in all first.

    Raises:
        DatabaseError: the extension is there and cannot be read; says what to do.
    """
    there = cursor.execute(_THERE).fetchone()
    assert there is not None
    if there["schema"] is None:
        return {"missing": _how(there["preloaded"])}
    view = sql.Identifier(there["schema"], "pg_stat_statements")
    try:
        rows = cursor.execute(sql.SQL(_SLOW).format(view=view, limit=sql.Literal(limit))).fetchall()
    except psycopg.errors.UndefinedColumn:
        raise DatabaseError(
            f"pg_stat_statements is as old as {there['version']}", "In psql: ALTER EXTENSION pg_stat_statements UPDATE"
        ) from None
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return {"missing": _how("")}
    return {
        "rows": [{**row, "query": masked(row["query"] or "", 200)} for row in rows],
        "slow": rows[0]["slow"] if rows else 0,
        "hidden": any(row["query"] == "<insufficient privilege>" for row in rows),
        "since": _since(cursor, there["schema"]),
    }


def _how(preloaded: str | None) -> str:
    """How to get it."""
    create = "CREATE EXTENSION pg_stat_statements"
    if "pg_stat_statements" in (preloaded or ""):
        return f"in psql: {create}"
    return f"shared_preload_libraries = 'pg_stat_statements', a restart, then {create}"


def _since(cursor: psycopg.Cursor[dict[str, Any]], schema: str) -> float | None:
    """Seconds for which it has counted; None before PostgreSQL 14, which does not tell."""
    try:
        row = cursor.execute(sql.SQL(_SINCE).format(view=sql.Identifier(schema, "pg_stat_statements_info"))).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return row["seconds"] if row else None
