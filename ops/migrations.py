"""The typed description of how a schema migrates: which tool of the application does it, and how carefully."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ops.clock import duration
from ops.described import Described
from ops.secrets import Secret
from ops.services import AbsolutePath, Id, Url

LockMode = Literal[
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock",
    "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
]  # fmt: skip
"""PostgreSQL's table-level locks, weakest first (its documentation, 13.3.1)."""
Rule = Annotated[str, Field(pattern=r"^[a-z][a-z-]+$", description="the name of a rule of squawk")]


class CloudRunJob(Described):
    """A job on Google Cloud Run that runs the tool's command, such as ``alembic upgrade head``.

    Its image is made of the code that is rehearsed; the rehearsal itself runs where that code is. Its settings name the
    real database, and it must not try again by itself (``--max-retries 0``).

    Args:
        project: id of the Google Cloud project.
        region: such as ``us-east1``.
        job: Cloud Run's name for it.
        token: an access token that may run jobs with overrides; None: application default credentials of who types.
        api: base URL.
        logging: base URL of Cloud Logging, where its log is.
    """

    project: Id
    region: Id
    job: Id
    token: Secret | None = None
    api: Url = "https://run.googleapis.com/v2"
    logging: Url = "https://logging.googleapis.com/v2"


class Migrations(Described):
    """What is true of migrations whatever tool applies them.

    Args:
        hosts: the group of the host that has the application's code, and this project's worker.
        environment: settings that the tool needs in its environment; no secret.
        lint_fails: rules of squawk whose findings end the run; those of all others are shown.
        lint_off: rules of squawk that are not looked for.
        lock_timeout: seconds for which a statement may wait for a lock on the real database.
        statement_timeout: seconds for which a statement may run there.
        tries: how often a migration is begun that did not get its locks.
        strongest_lock: one that a migration may hold as long as it likes.
        longest_lock: seconds for which a table may be locked more strongly than that, as the rehearsal saw it.
        restore_point: the age that the newest backup may have; else one is taken before a migration.
        rehearse_on: a copy of all (data), or one without rows (schema) of a database that is too large to be copied:
            then it is not known what breaks because of rows, how long it takes and how long locks last.
        job: applies them to the real database; None: the tool does, from the host that has the code.
    """

    hosts: str = "runner"
    environment: dict[str, str] = Field(default_factory=dict)
    lint_fails: tuple[Rule, ...] = ()
    lint_off: tuple[Rule, ...] = ()
    lock_timeout: Annotated[float, Field(gt=0)] = 5
    statement_timeout: Annotated[float, Field(gt=0)] = 600
    tries: Annotated[int, Field(ge=1, le=20)] = 3
    strongest_lock: LockMode = "ShareUpdateExclusiveLock"
    longest_lock: Annotated[float, Field(gt=0)] = 5
    restore_point: str = "1h"
    rehearse_on: Literal["data", "schema"] = "data"
    job: CloudRunJob | None = None

    def restore_point_age(self) -> float:
        """Seconds.

        Raises:
            ConfigurationError: it is no duration.
        """
        return duration(self.restore_point)


class Alembic(Migrations):
    """The application's own Alembic.

    Args:
        directory: holds ``alembic.ini``.
        python: the interpreter of the application's virtual environment; a path that is not absolute begins in
            the directory.
        configuration: the file, where it has another name.
        table: where it keeps what is applied.
    """

    kind: Literal["alembic"] = "alembic"
    directory: AbsolutePath
    python: str = ".venv/bin/python"
    configuration: str = "alembic.ini"
    table: str = "alembic_version"


class Command(Migrations):
    """Any other tool, by its command lines, which ``sh`` runs in the directory.

    They find the database as every program with libpq does (``PGSERVICE``, ``PGPASSFILE``), and in ``DATABASE_URL``,
    which holds no password.

    Args:
        directory: the application's.
        files: its migrations, such as ``migrations/*.sql``; what a file is called without its ending is its id.
        table: where the tool keeps what it applied.
        applied: the query that gives the ids of those, such as ``SELECT id FROM migrations ORDER BY id``.
        up: applies all that is pending.
        down: undoes the one that was applied last; none: there is no way back.
    """

    kind: Literal["command"] = "command"
    directory: AbsolutePath
    files: str
    table: str
    applied: str
    up: str
    down: str | None = None


class Dbmate(Migrations):
    """dbmate.

    Args:
        directory: holds the migrations, ``<version>_<name>.sql``.
        table: where it keeps what it applied.
        command: dbmate, where it is not in PATH.
    """

    kind: Literal["dbmate"] = "dbmate"
    directory: AbsolutePath
    table: str = "schema_migrations"
    command: str = "dbmate"


class Prisma(Migrations):
    """The application's own Prisma Migrate, 7 or newer. It knows no way back.

    Args:
        directory: the application's, with its ``node_modules``; a path that is not absolute begins there.
        schema_file: the Prisma schema.
        migrations: the directory that holds ``<name>/migration.sql``.
        command: Prisma's.
    """

    kind: Literal["prisma"] = "prisma"
    directory: AbsolutePath
    schema_file: str = "prisma/schema.prisma"
    migrations: str = "prisma/migrations"
    command: str = "node_modules/.bin/prisma"


class Sql(Migrations):
    """Plain files, applied by psql in the order of their names.

    ``<name>.sql``, and where there is a way back ``<name>.down.sql``. Each is one transaction, unless a line of its own
    says ``-- transaction: none``.

    Args:
        directory: holds them.
        table: where it is written down what was applied, with its checksum.
    """

    kind: Literal["sql"] = "sql"
    directory: AbsolutePath
    table: str = "ops_migrations"


AnyMigrations = Annotated[Alembic | Command | Dbmate | Prisma | Sql, Field(discriminator="kind")]
