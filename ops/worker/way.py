"""The two ways that migrations go: up, to apply them, and down, to undo them; each is the other's way back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import psycopg

from ops.engines import Applied, Engine, Migration, Status, Target

Say = Callable[[str], None]


class Way(ABC):
    """One of them, and how it is spoken of."""

    name: str
    opposite: str
    doing: str
    undoing: str
    done: str
    half: str
    remains: str
    """What of it is to be put right by hand."""
    mended: str
    """What is to be mended of a migration that failed."""
    these: str
    privilege: str
    """What the role must be allowed on the table of what is applied."""
    back_fails: str
    back_differs: str
    again_fails: str
    again_differs: str
    stuck: str

    @abstractmethod
    def left(self, engine: Engine, connection: psycopg.Connection, status: Status) -> tuple[Migration, ...]:
        """What has this way to go still, in the order in which it is applied.

        Args:
            engine: of the migrations.
            connection: ours, to the database in question.
            status: of that database.

        Raises:
            MigrationRefused: the database was never where the way ends.
        """

    @abstractmethod
    def go(self, engine: Engine, target: Target, migrations: tuple[Migration, ...], say: Say) -> Applied:
        """Go this way, one migration after the other, until one fails; they are given in the order of ``left``."""

    @abstractmethod
    def back(self, engine: Engine, target: Target, migrations: tuple[Migration, ...], say: Say) -> Applied:
        """Go back again."""

    @abstractmethod
    def returns(self, engine: Engine, migrations: tuple[Migration, ...], status: Status) -> bool:
        """Whether a copy can go back again; ``status``: of it, before it went."""

    @abstractmethod
    def first(self, migrations: tuple[Migration, ...]) -> Migration:
        """The one with which it begins."""


class Up(Way):
    """All that is pending is applied."""

    name, opposite = "up", "down"
    doing, undoing, done, half = "applying", "undoing", "applied", "half done"
    remains, mended, these = "Undo by hand what it left", "{}", "the pending migrations"
    privilege = "INSERT"
    back_fails, back_differs = "the way back of {} fails", "the way back leads elsewhere"
    again_fails = "{} cannot be applied again once it was undone"
    again_differs = "applied again it is another schema"
    stuck = "{} is pending on the copy still, although the engine says that it applied it"

    def left(self, engine: Engine, connection: psycopg.Connection, status: Status) -> tuple[Migration, ...]:
        """See ``Way``."""
        return status.pending

    def go(self, engine: Engine, target: Target, migrations: tuple[Migration, ...], say: Say) -> Applied:
        """See ``Way``."""
        return engine.up(target, migrations, say)

    def back(self, engine: Engine, target: Target, migrations: tuple[Migration, ...], say: Say) -> Applied:
        """See ``Way``."""
        return engine.down(target, migrations, say)

    def returns(self, engine: Engine, migrations: tuple[Migration, ...], status: Status) -> bool:
        """See ``Way``."""
        return all(one.has_down for one in migrations)

    def first(self, migrations: tuple[Migration, ...]) -> Migration:
        """See ``Way``."""
        return migrations[0]


class Down(Way):
    """What was applied after a migration is undone, the last one first.

    Args:
        to: the migration, which stays; None: none stays.
    """

    name, opposite = "down", "up"
    doing, undoing, done, half = "undoing", "applying again", "undone", "half undone"
    remains, mended = "Put back by hand what it took away", "the way back of {}"
    these = "the migrations to be undone"
    privilege = "DELETE"
    back_fails = "{} cannot be applied again once it was undone"
    back_differs = "applied again it is another schema"
    again_fails, again_differs = "{} cannot be undone a second time", "undone a second time it is another schema"
    stuck = "{} is applied on the copy still, although the engine says that it undid it"

    def __init__(self, to: str | None) -> None:
        self._to = to

    def left(self, engine: Engine, connection: psycopg.Connection, status: Status) -> tuple[Migration, ...]:
        """See ``Way``."""
        return engine.since(connection, self._to)

    def go(self, engine: Engine, target: Target, migrations: tuple[Migration, ...], say: Say) -> Applied:
        """See ``Way``."""
        return engine.down(target, migrations, say)

    def back(self, engine: Engine, target: Target, migrations: tuple[Migration, ...], say: Say) -> Applied:
        """See ``Way``."""
        return engine.up(target, migrations, say)

    def returns(self, engine: Engine, migrations: tuple[Migration, ...], status: Status) -> bool:
        """See ``Way``. Not when what was pending before would come along."""
        return not (engine.applies_all and status.pending)

    def first(self, migrations: tuple[Migration, ...]) -> Migration:
        """See ``Way``."""
        return migrations[-1]
