"""The typed description of treatments: what an inventory declares of them, and what the worker is asked to do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ops.described import Described, Name
from ops.errors import ConfigurationError


class Purge(Described):
    """Rows that may be deleted for good: ``pyinfra prod deploys/treat.py --data purge=NAME``.

    Args:
        name: short name.
        table: as it is written in SQL, with its schema where that is not in the search path.
        where: which of its rows, in SQL, as it stands behind ``WHERE``.
    """

    name: Name
    table: Annotated[str, Field(min_length=1)]
    where: Annotated[str, Field(min_length=1)]

    @field_validator("where")
    @classmethod
    def _which_rows(cls, where: str) -> str:
        if not where.strip():
            raise ValueError("write which rows, such as completed_at < now() - interval '30 days'")
        return where


class Identity(Described):
    """One session, told apart from a later one with the same pid.

    Args:
        pid: of the server's process.
        started: when it was, as PostgreSQL writes it.
    """

    pid: Annotated[int, Field(ge=1)]
    started: str


class EndIdle(Described):
    """Ending the connections to the database that have been idle for long.

    Args:
        older_than: seconds.
        application: only those that call themselves so; none: all.
        only: of these alone; None: of whoever is found.
    """

    kind: Literal["end_idle"] = "end_idle"
    older_than: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    application: str | None = None
    only: tuple[Identity, ...] | None = None


class EndSession(Described):
    """Ending one session, whatever it does.

    Args:
        pid: of the server's process.
        started: when it was, as it was shown; None: whenever.
    """

    kind: Literal["end_session"] = "end_session"
    pid: Annotated[int, Field(ge=1)]
    started: str | None = None


class VacuumTable(Described):
    """Vacuuming and analysing a table.

    Args:
        table: as it is written in SQL.
    """

    kind: Literal["vacuum_table"] = "vacuum_table"
    table: Annotated[str, Field(min_length=1)]


class DeleteRows(Described):
    """Deleting the rows of a rule, in batches.

    Args:
        rule: which rows.
        batch: how many in one transaction.
        most: how many in all; None: as many as there are when it begins.
    """

    kind: Literal["delete_rows"] = "delete_rows"
    rule: Purge
    batch: Annotated[int, Field(ge=1, le=100_000)] = 1000
    most: Annotated[int, Field(ge=0)] | None = None


AnyTreatment = Annotated[EndIdle | EndSession | VacuumTable | DeleteRows, Field(discriminator="kind")]

_GOES_WITH = {"application": "idle", "batch": "purge"}


def chosen(**given: object) -> str:
    """Which treatment was typed, of those that can be.

    Args:
        given: by option, what ``--data`` says; None where it was not given.

    Raises:
        ConfigurationError: none was, or several, or an option that belongs to another one.
    """
    kinds = [name for name in given if name not in _GOES_WITH]
    typed = [name for name in kinds if given[name] is not None]
    if len(typed) != 1:
        problem = f"{' and '.join(typed)} are {len(typed)} treatments" if typed else "it is not said what to do"
        shown = "idle=5m, terminate=PID, vacuum=TABLE, purge=RULE, pause=QUEUE, resume=QUEUE"
        raise ConfigurationError(problem, f"Add one of --data {shown}")
    for option, of in _GOES_WITH.items():
        if given.get(option) is not None and typed != [of]:
            raise ConfigurationError(f"{option}={given[option]} says nothing to {typed[0]}", f"It belongs to {of}")
    return typed[0]


def purge(rules: tuple[Purge, ...], name: str, environment: str) -> Purge:
    """The rule of that name.

    Raises:
        ConfigurationError: the environment declares none.
    """
    found = next((one for one in rules if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in rules)
        hint = f"There are: {known}" if known else 'Write purges=[Purge(name="…", table="…", where="…")] there'
        raise ConfigurationError(f"the inventory of {environment} declares no purge {name}", hint)
    return found
