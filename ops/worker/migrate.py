"""Migrations through the gate: lint, restore point, rehearsal on a copy, then the real database, and the proof."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from ops.engines import Engine, Status, open_engine
from ops.engines.hotfix import hotfix
from ops.environment import Postgres
from ops.errors import MigrationError, MigrationRefused
from ops.lock import Lock
from ops.migrations import Migrations
from ops.stores import open_store
from ops.worker import dump
from ops.worker.apply import Application
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect
from ops.worker.copy import copied
from ops.worker.fingerprint import fingerprint
from ops.worker.lint import Finding, lint
from ops.worker.privileges import lacking, unrecordable
from ops.worker.progress import say
from ops.worker.rehearsal import Rehearsal, rehearse
from ops.worker.request import Request

if TYPE_CHECKING:
    from ops.engines.cloudrun_job import CloudRunJobEngine

LOCK = "migrate.lock"


def run(request: Request) -> dict[str, Any]:
    """Take the pending migrations as far as is asked for; nothing pending is no change.

    Raises:
        MigrationRefused: they were found wanting; the real database is as it was.
        MigrationError: they were begun on the real database, and not finished; says what is so now.
        OpsError: a step could not be carried out.
    """
    assert request.migrations is not None
    if request.hotfix is None:
        return _through(request, open_engine(request.migrations))
    with hotfix(request.hotfix.name, request.hotfix.sql) as engine:
        return _through(request, engine)


def _through(request: Request, engine: Engine) -> dict[str, Any]:
    assert request.migrations is not None and request.database is not None
    gate = _Gate(request, request.migrations, request.database, engine)
    began = time.monotonic()
    status = gate.status()
    answer: dict[str, Any] = {"changed": False, "current": status.current,
                              "pending": [{"id": one.id, "name": one.name, "file": one.file} for one in status.pending],
                              "seconds": {"status": round(time.monotonic() - began, 3)}}  # fmt: skip
    _refuse_doubts(status, engine)
    if not status.pending:
        return answer
    gate.require_job()
    with _reported(answer):
        gate.step("lint", answer, lambda: gate.lint(status, answer))
        if request.until == "status":
            return answer
        return _under_lock(request, gate, status, answer)


def _under_lock(request: Request, gate: _Gate, status: Status, answer: dict[str, Any]) -> dict[str, Any]:
    catalogue = gate.catalogue
    with Lock(catalogue.store, catalogue.prefix + LOCK, request.owner, "a migration") as lock:
        gate.step("restore point", answer, lambda: gate.restore_point(answer))
        rehearsal = gate.step("rehearsal", answer, lambda: gate.rehearse(status))
        answer["rehearsal"] = rehearsal.to_json()
        _refuse_rehearsed(rehearsal)
        if request.until == "proof":
            lock.confirm()
            answer["applied"] = gate.step("apply", answer, lambda: gate.apply(status, rehearsal))
            answer["changed"] = True
    return answer


@contextmanager
def _reported(answer: dict[str, Any]) -> Iterator[None]:
    """What was found until then goes along with a failure."""
    try:
        yield
    except MigrationError as error:
        error.report = answer
        raise


class _Gate:
    def __init__(self, request: Request, description: Migrations, database: Postgres, engine: Engine) -> None:
        self._request = request
        self._description = description
        self._database = database
        self._engine = engine
        self._job: CloudRunJobEngine | None = None
        if description.job is not None and request.hotfix is None:
            from ops.engines.cloudrun_job import CloudRunJobEngine  # not everybody needs what it imports

            self._job = CloudRunJobEngine(engine, description.job)
        self._store = open_store(request.store)
        self.catalogue = Catalogue(self._store, request.environment, request.database_name)

    def step(self, name: str, answer: dict[str, Any], do: Any) -> Any:
        began = time.monotonic()
        try:
            return do()
        finally:
            answer["seconds"][name] = round(time.monotonic() - began, 3)

    def status(self) -> Status:
        with closing(connect(self._database)) as connection:
            self._major = connection.info.server_version // 10000
            status = self._engine.status(connection)
            if status.pending and self._job is None and (wrong := unrecordable(connection, self._engine)):
                raise MigrationRefused(wrong, "Connect as the role that owns it, or grant that")
            return status

    def require_job(self) -> None:
        if self._job is not None:
            self._job.require()

    def _schema(self) -> dict[str, str]:
        with closing(connect(self._database)) as connection:
            return fingerprint(connection)

    def lint(self, status: Status, answer: dict[str, Any]) -> None:
        findings = lint(status.pending, self._description, self._major)
        answer["lint"] = [finding.to_json() for finding in findings]
        answer["not_linted"] = [one.id for one in status.pending if not one.sql]
        failing = [finding for finding in findings if finding.fails]
        if self._description.lint_fails and answer["not_linted"]:
            raise MigrationRefused(
                f"the SQL of {', '.join(answer['not_linted'])} is not known without a database, so it was not linted",
                "Write it so that alembic upgrade --sql can print it, or take lint_fails= out of the inventory",
            )
        if failing:
            raise MigrationRefused(f"squawk refuses {_words(failing[0])}", failing[0].help or "Write it otherwise")

    def restore_point(self, answer: dict[str, Any]) -> None:
        """A backup that is young enough, and of the schema as it is now: the rehearsal may need it."""
        max_age: float | None = self._description.restore_point_age()
        newest = next(self.catalogue.sound(), None)
        if newest is not None and newest.manifest is not None and newest.manifest.fingerprint != self._schema():
            say(f"{newest.id} is of another schema: a new backup is taken")
            max_age = None
        taken = dump.run(self._request.model_copy(update={"max_age": max_age}))
        self.catalogue.forget()
        answer["restore_point"] = taken["backup"]["id"]
        say(f"the restore point is {taken['backup']['id']}{'' if taken['changed'] else ', which is young enough'}")

    def rehearse(self, status: Status) -> Rehearsal:
        """On a copy that has applied what the real database has; a backup that is older is no such copy."""
        found = self._rehearse(status)
        if found is None:
            say("the newest backup is from before the last migration: a new one is taken")
            dump.run(self._request.model_copy(update={"max_age": None}))
            self.catalogue.forget()
            found = self._rehearse(status)
        if found is None:
            raise MigrationRefused(
                "the copy has applied other migrations than the real database", "Somebody may be migrating it: look"
            )
        return found

    def _rehearse(self, status: Status) -> Rehearsal | None:
        assert self._request.server is not None
        began = time.monotonic()
        alone = self._engine.account if self._description.rehearse_on == "schema" else None
        with copied(self.catalogue, self._database, self._request.server, self._request.jobs, alone) as copy:
            with closing(connect(copy.server, copy.name)) as connection:
                there = self._engine.status(connection)
            if [one.id for one in there.pending] != [one.id for one in status.pending] or there.failed:
                return None
            say(f"rehearsing on {copy.how}")
            seconds = round(time.monotonic() - began, 3)
            found = rehearse(self._engine, self._description, status.pending, copy)
            found.seconds = {"copy": seconds, **found.seconds}
        if self._job is not None:  # its role is not ours
            return found
        with closing(connect(self._database)) as connection:
            found.findings += lacking(connection, found.altered(), found.written(), found.made())
        return found

    def apply(self, status: Status, rehearsal: Rehearsal) -> list[str]:
        return Application(self._job or self._engine, self._description, self._database).apply(status, rehearsal)


def _refuse_doubts(status: Status, engine: Engine) -> None:
    """A database whose state is not what the code says is not migrated any further."""
    if status.failed:
        raise MigrationRefused(
            f"{', '.join(status.failed)} was begun before and not finished",
            f"Undo by hand what it left; then type {engine.undone(status.failed[0])} and run this again",
        )
    if status.unknown:
        raise MigrationRefused(
            f"the database has {', '.join(status.unknown)}, which the code does not",
            "Is it the code of an older release? Look at directory= in the inventory",
        )
    if status.changed:
        raise MigrationRefused(
            f"{', '.join(status.changed)} was changed after it was applied", "Put it back, and write a new migration"
        )


def _refuse_rehearsed(rehearsal: Rehearsal) -> None:
    untouched = "" if rehearsal.elsewhere else "The real database was not touched"
    if rehearsal.error is not None:
        raise MigrationRefused(f"in the rehearsal {rehearsal.error.problem}", f"{untouched}; mend the migration")
    if rehearsal.findings:
        raise MigrationRefused(f"the rehearsal found: {'; '.join(rehearsal.findings)}", untouched)


def _words(finding: Finding) -> str:
    return f"{finding.migration} ({finding.file} line {finding.line}, {finding.rule}): {finding.message}"
