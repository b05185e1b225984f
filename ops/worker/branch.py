"""What going back to a branch on Neon would lose, looked at before; and afterwards, whether its content is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from ops import branches, clock
from ops.clouds.neon import Project
from ops.clouds.neon_resources import Branch
from ops.database import Postgres
from ops.engines import open_engine
from ops.errors import ConfigurationError, DatabaseError, DatabaseUnreachable, ServiceMissing
from ops.worker.branches import elsewhere
from ops.worker.connection import connect, failure
from ops.worker.fingerprint import differences, fingerprint
from ops.worker.loss import lost
from ops.worker.request import Request
from ops.worker.revert import BASE
from ops.worker.rows import Name, count, tables
from ops.worker.sessions import sessions

PATIENCE, _PAUSE = 120.0, 1.0
"""Seconds that the database may be away while its branch is restored, and between two tries to connect."""
_OTHERS = """
    SELECT datname::text FROM pg_database
     WHERE datname <> current_database() AND datname <> 'postgres' AND NOT datistemplate ORDER BY 1
"""


@dataclass(frozen=True)
class Content:
    """What is in a database.

    Args:
        migration: the one that was applied last.
        rows: of each table.
        schema: its fingerprint.
    """

    migration: str | None
    rows: dict[Name, int]
    schema: dict[str, str]


def run(request: Request) -> dict[str, Any]:
    """Compare the database with a branch, table by table. Only reads; a branch that nothing runs on gets an endpoint.

    Raises:
        ServiceMissing: there is no such branch, or no restore point that fits.
        DatabaseError: the branch's content is not there, when that is to be proved.
        OpsError: it cannot be compared.
    """
    assert request.database is not None and request.neon is not None
    began = time.monotonic()
    if request.until == "proof":
        return _proof(request)
    branch, then = _chosen(request)
    at = branches.content(branch)
    with closing(connect(request.database)) as connection:
        try:
            answer: dict[str, Any] = {
                "branch": {"name": branch.name, "age": (clock.now() - at).total_seconds(), "migration": then.migration},
                "sessions": [str(one) for one in sessions(connection, request.database.name())],
                "others": [name for (name,) in connection.execute(_OTHERS)],
                "tables": lost(connection, then.rows, clock.iso(at)),
                "schema": differences(then.schema, fingerprint(connection), "the branch"),
            }
        except psycopg.Error as error:
            raise failure(error, request.database.parameters()) from None
    return {**answer, "seconds": round(time.monotonic() - began, 3)}


def _chosen(request: Request) -> tuple[Branch, Content]:
    """The branch that is named, or the newest restore point; its last migration must be the one that is wanted."""
    assert request.neon is not None
    if request.branch is None and request.migration is None:
        raise ConfigurationError(
            "it is not known which migration the database is to go back to, so no restore point can be chosen",
            f"Name one: --data branch=…; pyinfra {request.environment} deploys/branches.py shows them",
        )
    seen = []
    for branch, connection in _candidates(request):
        migration = _migration(connection, request)
        if request.migration in (None, migration or BASE):
            return branch, _content(connection, request)
        seen.append(f"{branch.name} is at {migration or BASE}")
    raise ServiceMissing(
        f"{request.branch or f'no restore point of {request.environment}'} is {'not ' if request.branch else ''}at the "
        f"migration {request.migration}, which is what is needed",
        f"{'; '.join(seen) or 'There is none'}. Restore points are kept for {request.neon.restore_points}",
    )


def _candidates(request: Request) -> Iterator[tuple[Branch, psycopg.Connection]]:
    assert request.neon is not None and request.database is not None
    project = Project(request.neon)
    if request.branch is None:
        found = branches.of(request.environment, branches.RESTORE_POINT, project.branches())
    else:
        found = [project.require(request.branch)]
    for branch in found:
        if branch.name == request.neon.branch:
            raise ConfigurationError(f"{branch.name} is the branch of {request.environment} itself", "Name another")
        if branch.state == "init":
            if request.branch is not None:
                raise ServiceMissing(f"Neon has not made the branch {branch.name} whole", "Name another")
        elif branch.expires is None or branch.expires > clock.now():
            project.serve(branch)
            with closing(connect(elsewhere(request.neon, branch.name, request.database))) as connection:
                yield branch, connection
        elif request.branch is not None:
            raise ServiceMissing(f"the branch {branch.name} expired at {clock.iso(branch.expires)}", "Name another")


def _migration(connection: psycopg.Connection, request: Request) -> str | None:
    try:
        return None if request.migrations is None else open_engine(request.migrations).current(connection)
    except psycopg.Error as error:
        raise failure(error) from None


def _content(connection: psycopg.Connection, request: Request) -> Content:
    migration = _migration(connection, request)
    try:
        return Content(migration, count(connection, tables(connection), lambda name: None), fingerprint(connection))
    except psycopg.Error as error:
        raise failure(error) from None


def _proof(request: Request) -> dict[str, Any]:
    """The same migration, the same schema, and no row fewer; what serves already may have written more."""
    assert request.neon is not None and request.database is not None
    project = Project(request.neon)
    branch = project.require(request.branch or "")
    with closing(connect(elsewhere(request.neon, branch.name, request.database))) as connection:
        then = _content(connection, request)
    with closing(_reconnected(request.database)) as connection:
        now = _content(connection, request)
    wrong = [f"{name} has {now.rows.get(name, 0):,} rows, {rows:,} in the branch"
             for name, rows in then.rows.items() if now.rows.get(name, 0) < rows]  # fmt: skip
    wrong += differences(then.schema, now.schema, "the branch")
    if now.migration != then.migration:
        wrong.insert(0, f"its last migration is {now.migration}, {then.migration} in the branch")
    if wrong:
        raise DatabaseError(
            f"{request.neon.branch} is not as {branch.name}: {'; '.join(wrong[:3])}", "Look at it before anything else"
        )
    return {"tables": len(now.rows), "rows": sum(now.rows.values()), "migration": now.migration}


def _reconnected(database: Postgres) -> psycopg.Connection:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return connect(database)
        except DatabaseUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
