"""What every engine can do: the one interface between a migration and the tool that applies it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.errors import MigrationFailed, MigrationRefused


@dataclass(frozen=True)
class Target:
    """The database that an engine is let loose on: the copy, or the real one.

    Args:
        server: where.
        database: its name there.
        lock_timeout: seconds that a statement may wait for a lock; 0: for ever.
        statement_timeout: seconds that a statement may run; 0: for ever.
    """

    server: Postgres
    database: str
    lock_timeout: float = 0
    statement_timeout: float = 0

    def settings(self) -> dict[str, str]:
        """The two limits as PostgreSQL's settings."""
        return {
            "lock_timeout": f"{self.lock_timeout * 1000:.0f}ms",
            "statement_timeout": f"{self.statement_timeout * 1000:.0f}ms",
        }


@dataclass(frozen=True)
class Migration:
    """One migration in the application's code.

    Args:
        id: what the engine calls it: a revision, a version, a file's name.
        name: in words, as its author wrote it.
        file: where it stands.
        sql: what it does; empty when only the engine knows.
        line: of the file, at which the SQL begins.
        has_down: whether it has a way back.
        transactional: whether all of it is undone when it fails.
        digest: of the file, to see that what is applied is what was rehearsed.
        way_back: what undoes it; empty when there is nothing, or only the engine knows.
    """

    id: str
    name: str
    file: str
    sql: str = ""
    line: int = 1
    has_down: bool = False
    transactional: bool = True
    digest: str = ""
    way_back: str = ""


@dataclass(frozen=True)
class Status:
    """What a database has, held against the code.

    Args:
        current: the migration applied last; None on a database without any.
        pending: what is to be applied, in order.
        failed: what was begun, and not finished.
        unknown: what the database has and the code does not.
        changed: files that were changed after they were applied.
    """

    current: str | None
    pending: tuple[Migration, ...] = ()
    failed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass
class Statement:
    """A statement as it was carried out, or all of a migration where the engine sends it as one.

    Args:
        migration: whose.
        text: as it was sent.
        began: ``time.monotonic``, seconds.
        seconds: how long it took.
        rows: how many it changed; None when that is not told.
    """

    migration: str
    text: str
    began: float
    seconds: float = 0.0
    rows: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As the worker's answer carries it."""
        text = self.text if len(self.text) <= 1000 else f"{self.text[:1000]}…"
        return {"migration": self.migration, "text": text, "seconds": round(self.seconds, 4), "rows": self.rows}


@dataclass
class Applied:
    """What came of applying migrations.

    Args:
        statements: in order.
        migrations: those that were finished.
        error: why it ended before the last one.
    """

    statements: list[Statement] = field(default_factory=list)
    migrations: list[str] = field(default_factory=list)
    error: MigrationFailed | None = None


def one_by_one(migrations: tuple[Migration, ...], undo: Callable[[Migration], Applied]) -> Applied:
    """Undo migrations, the last one first, until one fails; what came of all.

    Args:
        migrations: in the order in which they were applied.
        undo: undoes one.
    """
    whole = Applied()
    for migration in reversed(migrations):
        applied = undo(migration)
        whole.statements += applied.statements
        whole.migrations += applied.migrations
        whole.error = applied.error
        if whole.error:
            break
    return whole


def not_applied(to: str, applied: list[str]) -> MigrationRefused:
    """Nobody goes back to where the database never was; ``applied``: the ids of what it has, oldest first."""
    last = ", ".join(reversed(applied[-5:])) or "none"
    return MigrationRefused(f"the database has not applied {to}", f"What it applied last: {last}")


class Engine(ABC):
    """The tool that applies an application's migrations.

    Args:
        table: where it keeps account of what it applied.
    """

    applies_all = False
    """Whether ``up`` applies whatever is pending, and not only what it is given."""

    def __init__(self, table: str) -> None:
        self.table = table

    @abstractmethod
    def status(self, connection: psycopg.Connection) -> Status:
        """What is applied and what is pending.

        Args:
            connection: ours, to the database in question: the engine itself is not let near it.

        Raises:
            EngineMissing: the tool or the directory is not there.
            ToolError: the tool failed.
        """

    @abstractmethod
    def current(self, connection: psycopg.Connection) -> str | None:
        """The migration that was applied last, by what stands in the database alone: the code need not be here.

        Args:
            connection: ours, as for ``status``.
        """

    @abstractmethod
    def applied(self, connection: psycopg.Connection) -> tuple[Migration, ...]:
        """What the database has applied, oldest first: the engine's own way back undoes the last of them.

        One that the code does not have is there by its id alone. ``transactional`` is told of the way back.

        Args:
            connection: ours, as for ``status``.

        Raises:
            EngineMissing: the tool or the directory is not there.
            ToolError: the tool failed.
        """

    def since(self, connection: psycopg.Connection, to: str | None) -> tuple[Migration, ...]:
        """What the database has applied after a migration, oldest first.

        Args:
            connection: ours, as for ``status``.
            to: the migration, as ``Status.current`` told it then; None: since there were none.

        Raises:
            MigrationRefused: the database has not applied it.
        """
        applied = self.applied(connection)
        ids = [migration.id for migration in applied]
        if to is None:
            return applied
        if to not in ids:
            raise not_applied(to, ids)
        return applied[ids.index(to) + 1 :]

    @abstractmethod
    def up(self, target: Target, pending: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """Apply migrations, one after the other, until one fails.

        Args:
            target: where.
            pending: as ``status`` tells.
            say: given each one's name before it is begun.
        """

    @abstractmethod
    def down(self, target: Target, migrations: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """Undo migrations, the last one first, until one fails.

        Args:
            target: where.
            migrations: those that were applied last, in the order in which they were.
            say: given each one's name before it is undone.
        """

    def undone(self, id: str) -> str:
        """What to type once what a failed migration left was undone by hand, so that it is tried again; else empty.

        Args:
            id: of the migration.
        """
        return ""

    @property
    def account(self) -> sql.Identifier:
        """The table in which the engine keeps what it applied."""
        return sql.Identifier(*self.table.split("."))

    def has_account(self, connection: psycopg.Connection) -> bool:
        """Whether that table is there yet."""
        query = "SELECT to_regclass(%s) IS NOT NULL"
        row = connection.execute(query, [self.account.as_string(connection)]).fetchone()
        return bool(row and row[0])

    def without_account(self, schema: dict[str, str]) -> dict[str, str]:
        """A schema's fingerprint without that table and what belongs to it: the application's own."""
        name = re.escape(self.table.rpartition(".")[2])
        own = re.compile(rf"""[ ."]{name}(_pk[a-z]*)?(["\s.]|$)""")
        return {object: hash for object, hash in schema.items() if not own.search(object)}
