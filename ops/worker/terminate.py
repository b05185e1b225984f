"""End connections that have been idle for long, or one session. Nobody is ended who was not shown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ops.database import Postgres
from ops.errors import DatabaseError
from ops.literals import masked
from ops.treatments import EndIdle, EndSession, Identity
from ops.worker.activity import blocked
from ops.worker.connection import APPLICATION, connect, failure, legible
from ops.worker.request import Request
from ops.worker.sessions import ENDABLE

# A pid is given anew once its process is gone; with the time at which it began it means one session for ever.
_STARTED = "to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
_SESSIONS = f"""
    SELECT a.pid, {_STARTED} AS started, a.usename::text AS role, a.application_name AS application, a.state, a.query,
           a.datname::text AS database, a.backend_type AS kind,
           coalesce(host(a.client_addr), 'the server itself') AS address,
           extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS seconds,
           extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS "open",
           a.backend_xid IS NOT NULL AS wrote, r.rolsuper AS super, {ENDABLE} AS endable
      FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
"""
_IDLE = f"""
    {_SESSIONS}
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
       AND NOT starts_with(a.application_name, %(ours)s)
       AND a.state IN ('idle', 'idle in transaction', 'idle in transaction (aborted)')
       AND a.state_change < clock_timestamp() - make_interval(secs => %(older)s)
       AND (%(application)s::text IS NULL OR a.application_name = %(application)s)
     ORDER BY a.state_change
"""
_ONE = f"{_SESSIONS} WHERE a.pid = %s"
_HIDDEN = """
    SELECT count(*) AS hidden FROM pg_stat_activity
     WHERE datname = current_database() AND usesysid IS NOT NULL AND query = '<insufficient privilege>'
"""
# Asked for and ended in one statement: who is at work again by then is not ended.
_END = """
    WITH found AS MATERIALIZED ({})
    SELECT f.*, pg_terminate_backend(f.pid) AS told FROM found f
     WHERE f.endable AND (f.pid, f.started) IN (SELECT * FROM unnest(%(pids)s::int[], %(starts)s::text[]))
"""
_THERE = f"""
    SELECT a.pid FROM pg_stat_activity a
     WHERE (a.pid, {_STARTED}) IN (SELECT * FROM unnest(%(pids)s::int[], %(starts)s::text[]))
"""
PATIENCE = 10.0
"""Seconds that somebody has to go, once told."""
_PAUSE = 0.1


def run(request: Request) -> dict[str, Any]:
    """Look for whom to end, or end them.

    Raises:
        DatabaseError: that session may not be ended; or it was told to end and is there still.
    """
    assert request.database is not None
    with _asking(request.database) as cursor:
        if isinstance(request.treatment, EndIdle):
            return _idle(cursor, request.treatment, request.look)
        assert isinstance(request.treatment, EndSession)
        return _one(cursor, request.treatment, request.look)


def _idle(cursor: psycopg.Cursor[dict[str, Any]], treatment: EndIdle, look: bool) -> dict[str, Any]:
    asked = {"ours": APPLICATION, "older": treatment.older_than, "application": treatment.application}
    found = cursor.execute(_IDLE, asked).fetchall()
    if look:
        hidden = cursor.execute(_HIDDEN).fetchone()
        told = ("pid", "started", "role", "application", "state", "seconds", "wrote", "endable")
        return {"found": [{name: one[name] for name in told} for one in found], **(hidden or {})}
    only = treatment.only
    if only is None:
        only = tuple(Identity(pid=one["pid"], started=one["started"]) for one in found)
    ended = cursor.execute(_END.format(_IDLE), {**asked, **_identities(only)}).fetchall()
    _require_gone(cursor, [Identity(pid=one["pid"], started=one["started"]) for one in ended if one["told"]])
    return {"ended": len(ended), "left": len(only) - len(ended)}


def _one(cursor: psycopg.Cursor[dict[str, Any]], treatment: EndSession, look: bool) -> dict[str, Any]:
    found = cursor.execute(_ONE, [treatment.pid]).fetchone()
    if found is None or treatment.started not in (None, found["started"]):
        return {"gone": True}
    _require_ours(cursor, found)
    waiting = _below(blocked(cursor), treatment.pid)
    if look:
        return {"gone": False, "session": {**found, "query": masked(found["query"] or "")}, "waiting": waiting}
    one = Identity(pid=found["pid"], started=found["started"])
    ended = cursor.execute(_END.format(f"{_SESSIONS} WHERE a.pid = %(pid)s"), {"pid": one.pid, **_identities([one])})
    gone = not ended.fetchall()
    _require_gone(cursor, [one])
    return {"gone": gone, "waiting": waiting}


def _require_ours(cursor: psycopg.Cursor[dict[str, Any]], found: dict[str, Any]) -> None:
    """See that it is somebody's connection to this database, and that our role may end it.

    Raises:
        DatabaseError: it is not, or may not.
    """
    ours = cursor.execute("SELECT current_database()::text AS database, current_user::text AS role").fetchone()
    assert ours is not None
    pid, kind = found["pid"], found["kind"]
    if found["role"] is None or found["database"] is None or kind not in (None, "client backend"):
        what = f"the server's own {kind}" if kind else "one of the server's own"
        raise DatabaseError(f"the process {pid} is {what}, and is left alone", "End connections only")
    if found["database"] != ours["database"]:
        raise DatabaseError(
            f"the process {pid} is connected to {found['database']}, and not to {ours['database']}",
            "Is the number right? Look: deploys/triage.py",
        )
    if not found["endable"]:
        hint = (
            "It is a superuser's: end it as one"
            if found["super"]
            else f'In psql: GRANT pg_signal_backend TO "{ours["role"]}"'
        )
        raise DatabaseError(f"the role {ours['role']} may not end the process {pid} of {found['role']}", hint)
    if found["started"] is None:
        raise DatabaseError(
            f"what the process {pid} of {found['role']} does, and since when it is there, is hidden from the role"
            f" {ours['role']}",
            f'In psql: GRANT pg_monitor TO "{ours["role"]}"',
        )


def _require_gone(cursor: psycopg.Cursor[dict[str, Any]], told: Sequence[Identity]) -> None:
    """Wait until they are.

    Raises:
        DatabaseError: somebody is not.
    """
    deadline = time.monotonic() + PATIENCE
    while there := [row["pid"] for row in cursor.execute(_THERE, _identities(told))]:
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"told to end {PATIENCE:g} s ago and there still: {', '.join(map(str, there[:5]))}",
                "A large transaction takes its time to go back; look again: deploys/triage.py",
            )
        time.sleep(_PAUSE)


def _below(tree: Sequence[dict[str, Any]], pid: int) -> list[int]:
    """Those who wait for a session, be it for one that itself waits for it."""
    # Not as the tree stands: who waits for several stands below one of them alone.
    above = {pid}
    while more := [one["pid"] for one in tree if one["pid"] not in above and not above.isdisjoint(one["blockers"])]:
        above.update(more)
    return [one["pid"] for one in tree if one["pid"] in above and one["pid"] != pid]


def _identities(of: Sequence[Identity]) -> dict[str, Any]:
    return {"pids": [one.pid for one in of], "starts": [one.started for one in of]}


@contextmanager
def _asking(database: Postgres) -> Iterator[psycopg.Cursor[dict[str, Any]]]:
    with closing(connect(database)) as connection:
        try:
            connection.execute("SET statement_timeout = '15s'")
            legible(connection)
            yield connection.cursor(row_factory=dict_row)
        except psycopg.Error as error:
            raise failure(error, database.parameters()) from None
