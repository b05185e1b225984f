"""Who is connected to a database and what they do; who waits for whom."""

from __future__ import annotations

from typing import Any

import psycopg

from ops.literals import masked

_CLIENTS = "a.usesysid IS NOT NULL AND coalesce(a.backend_type, 'client backend') = 'client backend'"
# Of the sessions of others, a role without pg_read_all_stats sees neither state nor statement.
_HIDDEN = "a.query = '<insufficient privilege>'"
_SECONDS = "round(extract(epoch FROM clock_timestamp() - {})::numeric, 1)::float8"
_LIMITS = f"""
    SELECT count(*) FILTER (WHERE a.datid IS NOT NULL AND {_CLIENTS}) AS used,
           count(*) FILTER (WHERE a.datname = current_database() AND {_CLIENTS} AND {_HIDDEN}) AS hidden,
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
             - coalesce(current_setting('reserved_connections', true), '0')::int AS "limit",
           current_user::text AS role
      FROM pg_stat_activity a
"""
_GROUPS = f"""
    SELECT CASE WHEN {_HIDDEN} THEN 'hidden' ELSE coalesce(a.state, 'starting') END AS state,
           a.application_name AS application, count(*) AS count, max({_SECONDS.format("a.state_change")}) AS longest
      FROM pg_stat_activity a
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND {_CLIENTS}
     GROUP BY 1, 2 ORDER BY 3 DESC, 4 DESC NULLS LAST
"""
_OLDEST = f"""
    SELECT a.pid, a.usename::text AS role, a.application_name AS application, a.state, a.query,
           {_SECONDS.format("a.xact_start")} AS seconds
      FROM pg_stat_activity a
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL AND {_CLIENTS}
     ORDER BY a.xact_start LIMIT 1
"""
_PREPARED = f"""
    SELECT gid, {_SECONDS.format("prepared")} AS seconds FROM pg_prepared_xacts
     WHERE database = current_database() ORDER BY prepared
"""
# Who waits for the end of a transaction that changed a row has a lock on that row's place in its table already.
_WAITING = f"""
    WITH waiting AS MATERIALIZED (
      SELECT l.pid, l.locktype, l.mode, to_jsonb(l) ->> 'waitstart' AS since,
             coalesce(l.relation, (SELECT t.relation FROM pg_locks t
                                    WHERE t.pid = l.pid AND t.locktype = 'tuple' AND t.granted LIMIT 1)) AS relation
        FROM pg_locks l WHERE NOT l.granted
    ), blocked AS MATERIALIZED (
      SELECT w.*, pg_blocking_pids(w.pid) AS blockers FROM waiting w
    )
    SELECT a.pid, a.usename::text AS role, a.application_name AS application, a.state, a.query, b.locktype, b.mode,
           coalesce(b.blockers, '{{}}') AS blockers,
           {_SECONDS.format("coalesce(b.since::timestamptz, a.query_start)")} AS waits,
           {_SECONDS.format("a.xact_start")} AS "open",
           CASE WHEN b.relation IS NOT NULL THEN b.relation::regclass::text END AS "table"
      FROM pg_stat_activity a LEFT JOIN blocked b ON b.pid = a.pid
     WHERE (a.datname = current_database() AND b.pid IS NOT NULL)
        OR a.pid IN (SELECT unnest(c.blockers) FROM blocked c JOIN pg_stat_activity d ON d.pid = c.pid
                      WHERE d.datname = current_database())
     ORDER BY a.xact_start NULLS FIRST, a.pid
"""
PREPARED = 0
"""What PostgreSQL gives as the pid of a prepared transaction that keeps others waiting."""


def connections(cursor: psycopg.Cursor[dict[str, Any]]) -> dict[str, Any]:
    """How many there are, by state and application, and the oldest transactions."""
    limits = cursor.execute(_LIMITS).fetchone()
    assert limits is not None
    groups = cursor.execute(_GROUPS).fetchall()
    oldest = cursor.execute(_OLDEST).fetchone()
    return {
        **limits,
        "groups": groups,
        "oldest": oldest and {**oldest, "query": masked(oldest["query"] or "")},
        "prepared": cursor.execute(_PREPARED).fetchall(),
    }


def blocked(cursor: psycopg.Cursor[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those who wait for a lock and those who let them wait, as a tree: each with its depth, below whom it waits for.

    One that waits for several stands below the one that it has to wait for the longest way round.
    """
    found = {row["pid"]: {**row, "query": masked(row["query"] or "")} for row in cursor.execute(_WAITING)}
    waiting = {pid: [one for one in row["blockers"] if one != pid] for pid, row in found.items() if row["blockers"]}
    for blocker in {one for blockers in waiting.values() for one in blockers} - found.keys():
        found[blocker] = {"pid": blocker, "blockers": []}  # a prepared transaction, or gone by now
    depths = _depths(list(found), waiting)
    below: dict[int | None, list[int]] = {}
    for pid in found:
        below.setdefault(max(waiting[pid], key=depths.__getitem__) if pid in waiting else None, []).append(pid)
    # Whoever got the lock while we looked.
    roots = [pid for pid in below.get(None, ()) if pid in below]
    tree: dict[int, dict[str, Any]] = {}
    growing = [(pid, 0) for pid in reversed([*roots, *waiting])]
    while growing:
        pid, at = growing.pop()
        if pid not in tree:
            tree[pid] = {**found[pid], "depth": at}
            growing += [(each, at + 1) for each in reversed(below.get(pid, ()))]
    return list(tree.values())


def _depths(pids: list[int], waiting: dict[int, list[int]]) -> dict[int, int]:
    """How far each is from the one that it waits for in the end, the longest way round.

    Without recursion, because a queue for one row may be longer than Python's stack is deep.
    """
    depths: dict[int, int] = {}
    for pid in pids:
        path = {pid: iter(waiting.get(pid, ()))} if pid not in depths else {}
        while path:
            at = next(reversed(path))
            # A deadlock is a circle, until PostgreSQL breaks it.
            following = next((one for one in path[at] if one not in depths and one not in path), None)
            if following is None:
                del path[at]
                depths[at] = 1 + max((depths.get(one, 0) for one in waiting.get(at, ())), default=-1)
            else:
                path[following] = iter(waiting.get(following, ()))
    return depths
