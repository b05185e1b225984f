"""The way back: what was applied after a migration is undone, through the same gate as it was applied."""

from __future__ import annotations

import time
from typing import Any

from ops.engines import Engine, Migration, Status, open_engine
from ops.errors import MigrationRefused
from ops.worker.gate import Gate, reported
from ops.worker.impact import impacts
from ops.worker.request import Request
from ops.worker.way import Down

BASE = "base"
"""What the state before all migrations is called."""


def run(request: Request) -> dict[str, Any]:
    """Undo what was applied after ``to``, as far as is asked for; nothing to undo is no change.

    Asked for the status alone it tells what would be undone, can it be or not, and what it meant for code from before.

    Raises:
        MigrationRefused: it cannot be undone, or was found wanting; the real database is as it was.
        MigrationError: it was begun on the real database, and not finished; says what is so now.
        OpsError: a step could not be carried out.
    """
    assert request.migrations is not None
    engine = open_engine(request.migrations)
    to = None if request.to in (None, BASE) else request.to
    gate = Gate(request, engine, Down(to))
    began = time.monotonic()
    status, undo = gate.state()
    impact = impacts(undo, engine.table, gate.major, status.changed)
    told = [{"id": one.id, "name": one.name, "has_down": one.has_down, "impact": impact[one.id].verdict,
             "reasons": list(impact[one.id].reasons)} for one in reversed(undo)]  # fmt: skip
    answer: dict[str, Any] = {"changed": False, "current": status.current, "to": to, "undo": told,
                              "seconds": {"status": round(time.monotonic() - began, 3)}}  # fmt: skip
    if request.until == "status" or not undo:
        return answer
    with reported(answer):
        _refuse_doubts(status, engine, undo)
        if request.migrations.job is not None:
            raise MigrationRefused(
                f"the Cloud Run job {request.migrations.job.job} knows no way back",
                "Choose database=restore, or write a migration that undoes",
            )
        gate.require()
        gate.take(undo, answer)
    return answer


def _refuse_doubts(status: Status, engine: Engine, undo: tuple[Migration, ...]) -> None:
    """What has no way back, or may be something else than what was applied, is not undone."""
    if status.failed:
        raise MigrationRefused(
            f"{', '.join(status.failed)} was begun before and not finished",
            f"Undo by hand what it left; then type {engine.undone(status.failed[0])} and run this again",
        )
    unknown = [one.id for one in reversed(undo) if not one.file]
    if unknown:
        raise MigrationRefused(
            f"the database has {', '.join(unknown)}, which the code does not, and so no way back from there",
            "Is it the code of an older release? Look at directory= in the inventory, or choose database=restore",
        )
    changed = [one.id for one in reversed(undo) if one.id in status.changed]
    if changed:
        raise MigrationRefused(f"{', '.join(changed)} was changed after it was applied", "Put it back as it was")
    one_way = [one.id for one in reversed(undo) if not one.has_down]
    if one_way:
        has = "has" if len(one_way) == 1 else "have"
        raise MigrationRefused(f"{', '.join(one_way)} {has} no way back", "Choose database=restore")
