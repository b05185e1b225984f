"""Every failure that an operator can meet, as one line and a hint.

OpsError
├── ConfigurationError          the inventory is wrong
│   └── SecretMissing           a secret that the inventory names cannot be found
├── StoreError                  the place where backups lie refused or failed
│   ├── StoreUnreachable        no connection, or it broke and stayed broken
│   ├── StoreDenied             the credentials are wrong or may not do this
│   ├── StoreMissing            no such bucket or directory
│   ├── ObjectMissing           no such key
│   ├── PreconditionFailed      a conditional write found something else there
│   └── WeakStore               the provider ignores conditional writes
├── DatabaseError               PostgreSQL refused or failed
│   └── DatabaseUnreachable     no connection, or it broke
├── ToolError                   pg_dump, pg_restore or another program is missing or failed
├── Stalled                     nothing moved for longer than the deadline
├── LockHeld                    somebody else is at work
├── BackupDamaged               what lies in the store is not what was written
├── BackupMissing               there is no such backup
├── MigrationError              a migration must not be applied, or was not
│   ├── MigrationFailed         PostgreSQL refused one of its statements
│   ├── MigrationRefused        it was found wanting before the real database was touched
│   └── EngineMissing           the tool that applies migrations, or its directory, is not there
├── HostUnreachable             a host did not answer
├── ServiceError                a service or its platform refused or failed
│   ├── ServiceUnhealthy        it was started and does not hold
│   ├── ServiceMissing          there is no such service
│   ├── ReleaseMissing          there is no such release
│   ├── PlatformDenied          the credentials are wrong or may not do this
│   └── PlatformUnreachable     a cloud's API did not answer, or not in its own words
├── ChecksFailed                something is not as it must be, or nobody could tell
│   └── TriggerHeld             a check of a watch failed for as long as its trigger says
├── OriginalsLeft               a value of production is in a database that was masked
├── Unclassified                the masking does not say, or not rightly, what becomes of production's data
└── WorkerFailed                the program on the host ended without an answer
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def _base() -> tuple[type[Exception], ...]:
    """Under the pyinfra command line our errors are pyinfra's own, so that it prints one line and exits 1.

    The worker never loads pyinfra, which costs a third of a second and is not installed on a runner.
    """
    if "pyinfra_cli.cli" not in sys.modules:
        return (Exception,)
    from pyinfra.api.exceptions import PyinfraError
    from pyinfra_cli.exceptions import CliError

    return (PyinfraError, CliError)


def printable(text: str) -> str:
    """A text as one line, without the control characters that names in a database may hold."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def place(error: BaseException) -> str:
    """The file and line where an error arose, for one whose text is left out because nobody knows what is in it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "nowhere"


class OpsError(*_base()):  # type: ignore[misc]
    """A failure said in one line.

    Args:
        message: what happened, and where.
        hint: what to do next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.problem = printable(message)
        self.hint = printable(hint)
        super().__init__(f"{self.problem}. {self.hint}" if self.hint else self.problem)

    def to_json(self) -> dict[str, Any]:
        """The error as the worker's answer carries it."""
        answer: dict[str, Any] = {"error": type(self).__name__, "message": self.problem, "hint": self.hint}
        report = getattr(self, "report", None)
        return {**answer, "report": report} if report else answer

    @staticmethod
    def from_json(answer: dict[str, Any]) -> OpsError:
        """Rebuild the error that a worker answered with."""
        kind = globals().get(str(answer.get("error")), OpsError)
        known = isinstance(kind, type) and issubclass(kind, OpsError)
        error = (kind if known else OpsError)(str(answer.get("message")), str(answer.get("hint") or ""))
        if answer.get("report"):
            error.report = answer["report"]
        return error


class ConfigurationError(OpsError):
    """The inventory is wrong."""


class SecretMissing(ConfigurationError):
    """A secret that the inventory names cannot be found."""


class StoreError(OpsError):
    """The store refused or failed."""


class StoreUnreachable(StoreError):
    """No connection to the store, or it broke and stayed broken. May be tried again."""


class StoreDenied(StoreError):
    """The credentials are wrong or may not do this. Trying again will not help."""


class StoreMissing(StoreError):
    """No such bucket or directory."""


class ObjectMissing(StoreError):
    """No such key."""


class PreconditionFailed(StoreError):
    """A conditional write found something else there."""


class WeakStore(StoreError):
    """The provider ignores conditional writes, on which locks and commit markers rest."""


class DatabaseError(OpsError):
    """PostgreSQL refused or failed."""


class DatabaseUnreachable(DatabaseError):
    """No connection to PostgreSQL, or it broke."""


class ToolError(OpsError):
    """pg_dump, pg_restore or another program is missing or failed."""


class Stalled(OpsError):
    """Nothing moved for longer than the deadline."""


class LockHeld(OpsError):
    """Somebody else is at work on this environment."""


class BackupDamaged(OpsError):
    """What lies in the store is not what was written."""


class BackupMissing(OpsError):
    """There is no such backup."""


class MigrationError(OpsError):
    """A migration must not be applied, or was not."""

    report: dict[str, Any] | None = None
    """What was found until then, for people."""


class MigrationFailed(MigrationError):
    """PostgreSQL refused one of its statements."""

    migration = ""
    said = ""
    statement = ""
    sqlstate = ""

    @classmethod
    def of(cls, migration: str, said: str, statement: str = "", sqlstate: str = "") -> MigrationFailed:
        """The failure of one statement.

        Args:
            migration: which.
            said: PostgreSQL's own words.
            statement: as it was sent.
            sqlstate: PostgreSQL's code; empty when it is not known.
        """
        shown = f", in: {' '.join(statement.split())[:200]}" if statement else ""
        error = cls(f"the migration {migration} failed: {said}{shown}")
        error.migration, error.said, error.statement, error.sqlstate = migration, said, statement, sqlstate
        return error


class MigrationRefused(MigrationError):
    """It was found wanting before the real database was touched."""


class EngineMissing(MigrationError):
    """The tool that applies migrations, or its directory, is not there."""


class HostUnreachable(OpsError):
    """A host did not answer."""


class ServiceError(OpsError):
    """A service or its platform refused or failed."""


class ServiceUnhealthy(ServiceError):
    """It was started and does not hold."""

    log: Sequence[str] = ()
    """The last lines of its log."""


class ServiceMissing(ServiceError):
    """There is no such service."""


class ReleaseMissing(ServiceError):
    """There is no such release."""

    @classmethod
    def among(cls, where: str, release: str, known: Sequence[str]) -> ReleaseMissing:
        """Of those that there are.

        Args:
            where: who has them, in words.
            release: what was asked for.
            known: the ids of those, newest first.
        """
        return cls(f"{where} has no release {release}", f"There are: {', '.join(known[:5]) or 'none'}")


class PlatformDenied(ServiceError):
    """The credentials are wrong or may not do this."""


class PlatformUnreachable(ServiceError):
    """A cloud's API did not answer, or not in its own words. May be tried again."""


class ChecksFailed(OpsError):
    """Something is not as it must be, or nobody could tell."""


class TriggerHeld(ChecksFailed):
    """A check of a watch failed for as long as its trigger says."""

    check = ""
    """Its name."""


class OriginalsLeft(OpsError):
    """A value of production is in a database that was masked."""

    report: dict[str, Any] | None = None
    """Lines for people: ``survivors``, which columns' values are in which columns."""


class Unclassified(OpsError):
    """The masking does not say, or not rightly, what becomes of production's data."""

    report: dict[str, Any] | None = None
    """Lines for people: ``unclassified``, ready to be pasted; ``stale``; ``unfit``."""


class WorkerFailed(OpsError):
    """The program on the host ended without an answer."""
