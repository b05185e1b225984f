"""Bring a database that lies beside the real one to the migration that the code at hand expects, and call it proven."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from ops import clock
from ops.database import Postgres
from ops.engines import Target, open_engine
from ops.errors import DatabaseError, MigrationFailed, MigrationRefused
from ops.migrations import Migrations
from ops.worker.attributes import mark, marks
from ops.worker.beside import beside
from ops.worker.connection import connect
from ops.worker.progress import say
from ops.worker.request import Request


def run(request: Request) -> dict[str, Any]:
    """Apply what is pending to ``<database>_restored``, which nobody uses yet, and mark it as ready to be swapped in.

    Raises:
        MigrationRefused: it has applied what the code does not know.
        MigrationFailed: a migration failed; the real database was not touched.
        DatabaseError: there is nothing beside.
    """
    assert request.database is not None
    database, name = request.database, beside(request.database)
    with closing(connect(database)) as connection:
        if "masked" not in marks(connection, name):
            raise DatabaseError(f"there is no masked database {name}", "Refresh first: deploys/refresh.py")
    applied = _advance(request.migrations, database, name) if request.migrations else []
    with closing(connect(database)) as connection:
        mark(connection, name, proven=clock.iso(clock.now()))
    return {"changed": True, "applied": applied}


def _advance(migrations: Migrations, database: Postgres, name: str) -> list[str]:
    engine = open_engine(migrations)
    with closing(connect(database, name)) as connection:
        status = engine.status(connection)
    if status.unknown:
        raise MigrationRefused(
            f"the data has applied {', '.join(status.unknown[:5])}, which the code here does not have",
            "Bring the release to this environment that production has, or a newer one; then refresh again",
        )
    if status.failed:
        raise MigrationRefused(
            f"{', '.join(status.failed)} was begun in production and not finished", "Look at production first"
        )
    if not status.pending:
        return []
    target = Target(database, name, migrations.lock_timeout, 0)
    done = engine.up(target, status.pending, lambda one: say(f"applying {one}"))
    if done.error is not None:
        raise MigrationFailed.of(done.error.migration, done.error.said, sqlstate=done.error.sqlstate)
    with closing(connect(database, name)) as connection:
        left = engine.status(connection).pending
    if left:
        raise MigrationRefused(
            f"{left[0].id} is pending still, although the engine says that it applied it",
            "It may have gone to another database: look at the engine's own configuration",
        )
    return done.migrations
