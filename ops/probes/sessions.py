"""The sessions of a database: how many there are, how long their transactions last, and who waits for whom."""

from __future__ import annotations

from ops.checks import Outcome, Result
from ops.checks.base import seconds
from ops.checks.result import unknown
from ops.clock import age
from ops.probes.server import Server, judged, percent
from ops.worker.connection import APPLICATION

# A database and a role may have limits of their own, below that of the server.
_CONNECTIONS = """
    WITH clients AS (SELECT datid, usesysid FROM pg_stat_activity WHERE backend_type = 'client backend')
    SELECT '', (SELECT count(*) FROM clients),
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
             - coalesce(current_setting('reserved_connections', true)::int, 0)
    UNION ALL
    SELECT ' of the database ' || datname, (SELECT count(*) FROM clients c WHERE c.datid = d.oid), datconnlimit
      FROM pg_database d WHERE datname = current_database() AND datconnlimit >= 0
    UNION ALL
    SELECT ' of the role ' || rolname, (SELECT count(*) FROM clients c WHERE c.usesysid = r.oid), rolconnlimit
      FROM pg_roles r WHERE rolconnlimit >= 0 AND NOT rolsuper
       AND oid IN (SELECT usesysid FROM clients c JOIN pg_database d ON d.oid = c.datid
                    WHERE datname = current_database())
"""
# Of a session for which track_activities is off nothing is known; a prepared transaction has no session at all.
_TRANSACTIONS = """
    SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age, pid,
           coalesce(usename::text, backend_type), application_name, state
      FROM pg_stat_activity
     WHERE datname = current_database() AND (xact_start IS NOT NULL OR state = 'disabled')
       AND pid <> pg_backend_pid() AND application_name <> %(ours)s
       AND backend_type NOT IN ('autovacuum worker', 'parallel worker', 'walsender')
    UNION ALL
    SELECT extract(epoch FROM clock_timestamp() - prepared)::float8, NULL, owner::text, gid, NULL
      FROM pg_prepared_xacts WHERE database = current_database()
     ORDER BY age DESC NULLS LAST
"""
# pg_blocking_pids holds up the lock manager for a moment: it is asked for those alone who have waited for too long.
_WAITING = """
    SELECT l.pid, extract(epoch FROM clock_timestamp() - l.waitstart)::float8, pg_blocking_pids(l.pid)
      FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE NOT l.granted AND a.datname = current_database()
       AND clock_timestamp() - l.waitstart > %(limit)s * interval '1 second'
     ORDER BY l.waitstart
"""
_SESSIONS = """
    SELECT pid, coalesce(usename::text, backend_type, 'somebody'), application_name, state FROM pg_stat_activity
     WHERE pid = ANY (%(pids)s) ORDER BY xact_start
"""
_PREPARED = 0
"""What PostgreSQL gives as the pid of a prepared transaction that others wait for."""
_NAMED = 3


def connections(server: Server) -> Result | None:
    """How many of the connections are in use that everybody may have, against the tightest of their limits."""
    share = server.check.connections
    if share is None:
        return None
    found = server.reading.rows(_CONNECTIONS)
    of, used, most = max(found, key=lambda one: one[1] / max(one[2], 1))
    return server.if_all_was_seen(
        judged(
            used <= share * most,
            f"{used} of {most}{of} ({percent(used / max(most, 1))})",
            f"≤ {int(share * most)} of {most} ({percent(share)})",
            f"Look who has them: {server.triage}",
        )
    )


def longest_transaction(server: Server) -> Result | None:
    """The oldest open transaction in the database; not ours, which are backups, and not those of the server itself."""
    limit = seconds(server.check.longest_transaction)
    if limit is None:
        return None
    found = server.reading.rows(_TRANSACTIONS, {"ours": APPLICATION})
    said = f"≤ {server.check.longest_transaction}"
    known = [one for one in found if one[0] is not None]
    if not known:
        result = judged(True, "none is open", said, "")
    else:
        old, pid, *who = known[0]
        result = judged(old <= limit, f"{age(old)}: {_session(pid, *who)}", said, _end([pid or _PREPARED]))
    if result.outcome is Outcome.PASS and len(known) < len(found):
        return unknown("track_activities is off for some sessions", "Look who: SELECT * FROM pg_db_role_setting")
    return server.if_all_was_seen(result)


def blocked_sessions(server: Server) -> Result | None:
    """Those who have waited for a lock for too long, and who keeps them waiting in the end."""
    limit = seconds(server.check.longest_wait)
    if limit is None:
        return None
    found = server.reading.rows(_WAITING, {"limit": limit})
    waiting = {pid: blockers for pid, _, blockers in found if blockers}
    said = f"≤ {server.check.longest_wait}"
    if not waiting:
        return judged(True, "none", said, "")
    blockers = {one for each in waiting.values() for one in each}
    # Who is first in a queue waits as well; a circle of them is a deadlock, which PostgreSQL breaks by itself.
    first = sorted(blockers - waiting.keys() or blockers)
    known = [_session(*one) for one in server.reading.rows(_SESSIONS, {"pids": first})]
    known += ["a prepared transaction"] if _PREPARED in first else []
    longest = max(waited for pid, waited, _ in found if pid in waiting)
    who = f"{'; '.join(known[:_NAMED])}{f' and {len(known) - _NAMED} more' if len(known) > _NAMED else ''}"
    value = f"{len(waiting)} wait{'s' if len(waiting) == 1 else ''}, for {age(longest)} at most, because of {who}"
    return judged(False, value, said, _end(first[-_NAMED:]))


def _session(pid: int | None, role: str, name: str | None, state: str | None) -> str:
    """In words; a prepared transaction has no pid."""
    if pid is None:
        return f"the prepared transaction {name} of {role}"
    more = ", ".join(one for one in (name, state) if one)
    return f"pid {pid}, {role}{f' ({more})' if more else ''}"


def _end(pids: list[int]) -> str:
    if pids == [_PREPARED]:
        return "End it in psql: COMMIT PREPARED, or ROLLBACK PREPARED, and what pg_prepared_xacts calls it"
    ending = ", ".join(f"pg_terminate_backend({one})" for one in pids if one != _PREPARED)
    return f"Let it end, or end it in psql: SELECT {ending}"
