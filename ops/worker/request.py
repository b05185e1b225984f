"""What a worker is asked: the part of the environment that its verb needs, and no more."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ops.checks import AnyCheck
from ops.database import Neon, Postgres
from ops.described import Described
from ops.environment import Retention
from ops.migrations import AnyMigrations
from ops.refresh import Refresh
from ops.storage import AnyStore
from ops.treatments import AnyTreatment


class Hotfix(Described):
    """SQL that is applied once, and recorded.

    Args:
        name: by which it is recorded.
        sql: what it does.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="letters, digits, . _ -")]
    sql: str


class Small(Described):
    """One thing to be done with a small object in the store.

    Args:
        do: which of ``Documents``'s methods.
        key: the object's; what keys begin with (list).
        content: to be written, in base64.
        etag: of the object to be replaced.
        limit: bytes that an object may have to be read.
    """

    do: Literal["put_if_absent", "replace", "write", "read", "list", "head", "delete"]
    key: str
    content: str = ""
    etag: str = ""
    limit: int = 0


class Request(Described):
    """One request.

    Args:
        environment: the environment's name.
        database_name: the name of the database whose backups are meant.
        owner: who asks, for the lock: ``user@host``.
        store: where backups lie.
        retention: which backups stay (list, prune).
        database: the database to dump (dump), to look at (loss, triage), to replace (beside, swap), to be treated.
        neon: the same where it is on Neon, with the key to branch it (migrate, revert, branch).
        server: the server to restore into (restore, drill).
        target: the name of the database to make (restore).
        branch: of Neon, whose content is to take the place of the database's (branch); none: the newest restore point
            at the migration that is wanted.
        backup: a backup's id; none: the newest (check, restore, drill), or the newest proven one (loss, beside).
        max_age: seconds; a younger backup or proof is enough, and nothing is done (dump, drill).
        jobs: parallel jobs of pg_restore (restore, beside, drill, migrate, revert).
        migrations: how the schema migrates (migrate, revert); whose account of what is applied goes into the manifest
            (dump), or is compared (branch).
        until: how far to go (migrate, revert); whether the branch's content is there already, to be proved (branch).
        to: the migration that is to be the last one; none, or base: there is to be none (revert).
        migration: the one that is to be the last applied in the backup (loss) or in the branch.
        undo: swap back what the last swap replaced (swap).
        look: only say whether there is anything to undo (swap), what would be done (terminate, vacuum, purge), or how
            the database stands (migrate).
        small: what to do with a small object (small).
        checks: to be asked (verify).
        slow: seconds that a statement takes on average to be a slow one (triage).
        treatment: what is to be done (terminate, vacuum, purge).
        refresh: where another environment's data comes from, and what becomes of it (refresh, classify).
        hotfix: SQL to be applied once, by name, in place of what is pending (migrate).
    """

    environment: str
    database_name: str
    owner: str
    store: AnyStore
    retention: Retention | None = None
    database: Postgres | None = None
    neon: Neon | None = None
    server: Postgres | None = None
    target: str | None = None
    branch: str | None = None
    backup: str | None = None
    max_age: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    jobs: Annotated[int, Field(ge=1, le=64)] = 1
    migrations: AnyMigrations | None = None
    checks: tuple[AnyCheck, ...] = ()
    slow: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1
    treatment: AnyTreatment | None = None
    refresh: Refresh | None = None
    hotfix: Hotfix | None = None
    migration: str | None = None
    undo: bool = False
    look: bool = False
    small: Small | None = None
    to: str | None = None
    until: Literal["status", "rehearsal", "proof"] = "status"
