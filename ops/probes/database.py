"""Ask how the database and its server are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from ops.checks import Database, Outcome, Result
from ops.checks.result import unknown
from ops.database import Postgres
from ops.errors import DatabaseError, DatabaseUnreachable, OpsError, printable
from ops.probes import replication, sessions, wear
from ops.probes.reading import reading
from ops.probes.server import Server, judged
from ops.worker.request import Request

_FULL = re.compile("too many clients|too many connections|remaining connection slots")
_DOWN = re.compile(
    "refused|timeout|timed out|unreachable|No route to host|closed the connection|reset by peer|socket .* No such file|"
    "starting up|shutting down|in recovery mode|not (yet|currently) accepting|not accepting connections|"
    'database ".*" does not exist'
)
"""Words of those who could not reach it that tell of the server. All others tell of how it was asked: a password, a
certificate, a name that does not resolve, a role that may not connect."""


def ask(check: Database, at: Request) -> Iterable[Result]:
    """One result for each thing that there is to look at.

    Without a connection there is one alone: a failure when nobody is let in, since that is not as it must be; unknown
    when it may be us.
    """
    assert at.database is not None
    try:
        with reading(at.database, check.timeout) as connection:
            server = Server.at(connection, check, at.environment)
            found = [_looked_at(name, look, server) for name, look in _ASPECTS.items()]
    except DatabaseUnreachable as error:
        return [_unreachable(check, error)]
    reached = Result(Outcome.PASS, _place(at.database), what="reachable")
    return [reached, *(one for one in found if one is not None)]


def version(server: Server) -> Result | None:
    """The server's."""
    oldest = server.check.version
    if oldest is None:
        return None
    return judged(server.number // 10000 >= oldest, server.version, f"≥ {oldest}", "Upgrade the server: pg_upgrade")


_ASPECTS: dict[str, Callable[[Server], Result | None]] = {
    "version": version,
    "connections": sessions.connections,
    "longest transaction": sessions.longest_transaction,
    "blocked sessions": sessions.blocked_sessions,
    "replication lag": replication.replication_lag,
    "invalid indexes": wear.invalid_indexes,
    "sequences": wear.sequences,
    "transaction ids": wear.transaction_ids,
    "dead rows": wear.dead_rows,
}


def _looked_at(name: str, look: Callable[[Server], Result | None], server: Server) -> Result | None:
    try:
        found = look(server)
    except DatabaseUnreachable:
        raise
    except OpsError as error:
        found = unknown(error.problem, server.grant if "permission denied" in error.problem else error.hint)
    # Names in a database may hold anything.
    return found and replace(found, what=name, value=printable(found.value), hint=printable(found.hint))


def _place(database: Postgres) -> str:
    parameters = database.parameters()
    return f"{parameters['dbname']} at {parameters['host']}:{parameters.get('port', '5432')}"


def _unreachable(check: Database, error: DatabaseError) -> Result:
    said = error.problem.removeprefix("PostgreSQL ").replace("FATAL: ", "")
    if check.connections is not None and _FULL.search(said):
        return Result(Outcome.FAIL, f"none is left: {said}", hint=error.hint, what="connections")
    outcome = Outcome.FAIL if _FULL.search(said) or _DOWN.search(said) else Outcome.UNKNOWN
    return Result(outcome, f"cannot be reached: {said}", hint=error.hint, what="reachable")
