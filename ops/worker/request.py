"""What a worker is asked: the part of the environment that its verb needs, and no more."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ops.described import Described
from ops.environment import AnyStore, Postgres, Retention
from ops.migrations import AnyMigrations


class Hotfix(Described):
    """SQL that is applied once, and recorded.

    Args:
        name: by which it is recorded.
        sql: what it does.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="letters, digits, . _ -")]
    sql: str


class Request(Described):
    """One request.

    Args:
        environment: the environment's name.
        database_name: the name of the database whose backups are meant.
        owner: who asks, for the lock: ``user@host``.
        store: where backups lie.
        retention: which backups stay (list, prune).
        database: the database to dump (dump).
        server: the server to restore into (restore, drill).
        target: the name of the database to make (restore).
        backup: a backup's id; none: the newest (check, restore, drill).
        max_age: seconds; a younger backup or proof is enough, and nothing is done (dump, drill).
        jobs: parallel jobs of pg_restore (restore, drill, migrate, revert).
        migrations: how the schema migrates (migrate, revert).
        until: how far to go (migrate, revert).
        to: the migration that is to be the last one; none, or base: there is to be none (revert).
        hotfix: SQL to be applied once, by name, in place of what is pending (migrate).
    """

    environment: str
    database_name: str
    owner: str
    store: AnyStore
    retention: Retention | None = None
    database: Postgres | None = None
    server: Postgres | None = None
    target: str | None = None
    backup: str | None = None
    max_age: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    jobs: Annotated[int, Field(ge=1, le=64)] = 1
    migrations: AnyMigrations | None = None
    hotfix: Hotfix | None = None
    to: str | None = None
    until: Literal["status", "rehearsal", "proof"] = "status"
