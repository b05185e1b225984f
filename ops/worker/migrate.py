"""Migrations through the gate: lint, restore point, rehearsal on a copy, then the real database, and the proof."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ops.engines import Engine, Status, open_engine
from ops.engines.hotfix import hotfix
from ops.errors import MigrationRefused
from ops.migrations import Migrations
from ops.probes.reading import reading
from ops.worker.gate import Gate, reported
from ops.worker.lint import Finding, lint
from ops.worker.request import Request
from ops.worker.way import Up

PATIENCE = 60.0
"""Seconds for which the database is asked how it stands."""


def run(request: Request) -> dict[str, Any]:
    """Take the pending migrations as far as is asked for; nothing pending is no change.

    Who only looks is told how the database stands, whatever that is: over a connection that cannot write, without a
    lock, and without what a rehearsal needs.

    Raises:
        MigrationRefused: they were found wanting; the real database is as it was.
        MigrationError: they were begun on the real database, and not finished; says what is so now.
        OpsError: a step could not be carried out.
    """
    assert request.migrations is not None
    if request.look:
        return _standing(request, open_engine(request.migrations))
    if request.hotfix is None:
        return _through(request, open_engine(request.migrations))
    with hotfix(request.hotfix.name, request.hotfix.sql) as engine:
        return _through(request, engine)


def _standing(request: Request, engine: Engine) -> dict[str, Any]:
    assert request.database is not None
    with reading(request.database, PATIENCE) as found:
        status = engine.status(found.connection)
    doubts = [{"problem": problem, "hint": hint} for problem, hint in _doubts(status, engine)]
    pending = [one.id for one in status.pending if one.id not in status.failed]
    return {"current": status.current, "pending": pending, "doubts": doubts}


def _through(request: Request, engine: Engine) -> dict[str, Any]:
    assert request.migrations is not None
    gate = Gate(request, engine, Up())
    began = time.monotonic()
    status, pending = gate.state()
    answer: dict[str, Any] = {"changed": False, "current": status.current,
                              "pending": [{"id": one.id, "name": one.name, "file": one.file} for one in pending],
                              "seconds": {"status": round(time.monotonic() - began, 3)}}  # fmt: skip
    _refuse_doubts(status, engine)
    if not pending:
        return answer
    gate.require()
    description = request.migrations
    with reported(answer):
        gate.step("lint", answer, lambda: _lint(status, description, gate.major, answer))
        if request.until != "status":
            gate.take(pending, answer)
    return answer


def _lint(status: Status, description: Migrations, major: int, answer: dict[str, Any]) -> None:
    findings = lint(status.pending, description, major)
    answer["lint"] = [finding.to_json() for finding in findings]
    answer["not_linted"] = [one.id for one in status.pending if not one.sql]
    failing = [finding for finding in findings if finding.fails]
    if description.lint_fails and answer["not_linted"]:
        raise MigrationRefused(
            f"the SQL of {', '.join(answer['not_linted'])} is not known without a database, so it was not linted",
            "Write it so that alembic upgrade --sql can print it, or take lint_fails= out of the inventory",
        )
    if failing:
        raise MigrationRefused(f"squawk refuses {_words(failing[0])}", failing[0].help or "Write it otherwise")


def _refuse_doubts(status: Status, engine: Engine) -> None:
    """A database whose state is not what the code says is not migrated any further."""
    for problem, hint in _doubts(status, engine):
        raise MigrationRefused(problem, hint)


def _doubts(status: Status, engine: Engine) -> Iterator[tuple[str, str]]:
    """What is not as the code says, and what to do about it."""
    if status.failed:
        yield (
            f"{', '.join(status.failed)} was begun before and not finished",
            f"Undo by hand what it left; then type {engine.undone(status.failed[0])} and run this again",
        )
    if status.unknown:
        yield (
            f"the database has {', '.join(status.unknown)}, which the code does not",
            "Is it the code of an older release? Look at directory= in the inventory",
        )
    if status.changed:
        yield (
            f"{', '.join(status.changed)} was changed after it was applied",
            "Put it back, and write a new migration",
        )


def _words(finding: Finding) -> str:
    return f"{finding.migration} ({finding.file} line {finding.line}, {finding.rule}): {finding.message}"
