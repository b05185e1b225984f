"""What becomes of the database in a rollback, decided by what is asked and by the migrations since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra import inventory

from ops import record, rollback, runner, ways
from ops.database import Neon
from ops.errors import ConfigurationError, MigrationRefused
from ops.operations import restore_points
from ops.rollback import Plan
from ops.ways import Way

LOSING = ("restore", "branch")
"""What takes the database back to how it was, with all that was written since."""


def decided(found: list[Way], asked: str, backup: str | None, branch: str | None, resumes: record.Run | None) -> Plan:
    """The plan, as far as the database goes.

    Args:
        found: where the services go.
        asked: one of ``rollback.STRATEGIES``.
        backup: the id of the one to restore; None: the newest proven one that fits.
        branch: the one on Neon to go back to; None: the newest restore point that fits.
        resumes: the first run of those that were not finished, with which this one goes on; None: there is none.

    Raises:
        ConfigurationError: it must be said, and is not; or it cannot be done.
        OpsError: what would be lost is not known.
    """
    here = runner.environment()
    going = [way for way in found if way.to is not None]
    if asked not in rollback.STRATEGIES:
        rollback.strategy(asked, "", None)
    if not going:
        return Plan(tuple(found), "keep")
    expected = ways.migration(found)
    words = ", ".join(f"{way.service} {way.to}" for way in going)
    undo: list[dict[str, Any]] | None = [] if here.migrations is None else None
    if here.migrations is not None and expected is not None:
        undo = _undo(expected, asked, words)
    database = rollback.strategy(asked, words, undo, isinstance(here.database, Neon))
    _refuse_needless(database, "restore", backup=backup)
    _refuse_needless(database, "branch", branch=branch)
    loss: Mapping[str, Any] | None = None
    if database == "restore":
        loss = runner.ask("loss", backup=backup, migration=expected)
    elif database == "branch":
        loss = restore_points.looked(branch, expected)
    known = None if undo is None else tuple(undo)
    if loss is not None and resumes is not None and _is_done(database, loss, resumes, undo):
        # The run that this one goes on with has come as far as this. A swap was proved before it was done.
        if database == "branch":
            return Plan(tuple(found), database, expected, known, loss, restored=True)
        database, loss = "keep", None
    return Plan(tuple(found), database, expected, known, loss)


def _is_done(
    database: str, loss: Mapping[str, Any], resumes: record.Run, undo: Sequence[Mapping[str, Any]] | None
) -> bool:
    if database == "branch":
        # It may have been undone since, by hand.
        return undo is not None and not undo and restore_points.went_back(loss["branch"]["name"], resumes.started)
    current = loss["current"]
    swapped = current.get("restored") == loss["backup"]["id"] and "undone" not in current
    return swapped and bool(current.get("proven", "") >= resumes.started)


def _refuse_needless(database: str, needed_by: str, **given: str | None) -> None:
    for name, value in given.items():
        if value is not None and database != needed_by:
            raise ConfigurationError(
                f"{name}={value} is not needed: nothing is restored", f"Add --data database={needed_by}"
            )


def _undo(expected: str, asked: str, words: str) -> list[dict[str, Any]] | None:
    """The migrations since the one that is expected; None when there is no way from here to there."""
    migrations = runner.environment().migrations
    assert migrations is not None
    try:
        on = inventory.get_group(migrations.hosts)[0]
        undo: list[dict[str, Any]] = runner.ask("revert", on=on, until="status", to=expected)["undo"]
    except MigrationRefused as refused:
        if asked in ("keep", *LOSING):
            return None
        raise ConfigurationError(
            f"{words} goes with the migration {expected}, to which no way back leads: {refused.problem}",
            "Migrate first: deploys/migrate.py; or say --data database=keep, or restore",
        ) from None
    return undo
