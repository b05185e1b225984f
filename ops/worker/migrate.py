"""Migrations through the gate: lint, restore point, rehearsal on a copy, then the real database, and the proof."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import Any

import psycopg

from ops.engines import Applied, Engine, Migration, Status, Target, open_engine
from ops.engines.hotfix import hotfix
from ops.environment import Postgres
from ops.errors import MigrationError, MigrationRefused, OpsError
from ops.migrations import Migrations
from ops.stores import open_store
from ops.worker import dump
from ops.worker.blockers import Blockers
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect
from ops.worker.copy import copied
from ops.worker.fingerprint import differences, fingerprint
from ops.worker.lint import Finding, lint
from ops.worker.lock import Lock
from ops.worker.progress import say
from ops.worker.rehearsal import Rehearsal, rehearse
from ops.worker.request import Request

LOCK = "migrate.lock"
_NO_LOCK = ("55P03",)
"""lock_not_available: the only failure after which it is tried again."""


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
    gate.step("lint", answer, lambda: gate.lint(status, answer))
    if request.until == "status":
        return answer
    catalogue = gate.catalogue
    with Lock(catalogue.store, catalogue.prefix + LOCK, request.owner, "a migration") as lock:
        gate.step("restore point", answer, lambda: gate.restore_point(answer))
        rehearsal = gate.step("rehearsal", answer, lambda: gate.rehearse(status))
        answer["rehearsal"] = rehearsal.to_json()
        _refuse_rehearsed(rehearsal, answer)
        if request.until == "proof":
            lock.confirm()
            answer["applied"] = gate.step("apply", answer, lambda: gate.apply(status, rehearsal))
            answer["changed"] = True
    return answer


class _Gate:
    def __init__(self, request: Request, description: Migrations, database: Postgres, engine: Engine) -> None:
        self._request = request
        self._description = description
        self._database = database
        self._engine = engine
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
            return self._engine.status(connection)

    def _schema(self) -> dict[str, str]:
        with closing(connect(self._database)) as connection:
            return fingerprint(connection)

    def lint(self, status: Status, answer: dict[str, Any]) -> None:
        findings = lint(status.pending, self._description, self._major)
        answer["lint"] = [finding.to_json() for finding in findings]
        answer["not_linted"] = [one.id for one in status.pending if not one.sql]
        failing = [finding for finding in findings if finding.fails]
        if failing:
            raise _refused(answer, f"squawk refuses {_words(failing[0])}", failing[0].help or "Write it otherwise")

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
        assert self._request.server is not None
        began = time.monotonic()
        with copied(self.catalogue, self._database, self._request.server, self._request.jobs) as copy:
            say(f"rehearsing on {copy.how}")
            seconds = round(time.monotonic() - began, 3)
            found = rehearse(self._engine, self._description, status.pending, copy)
            found.seconds = {"copy": seconds, **found.seconds}
            return found

    def apply(self, status: Status, rehearsal: Rehearsal) -> list[str]:
        """Apply the very migrations that were rehearsed, to the very schema."""
        now = self.status()
        if [one.id for one in now.pending] != [one.id for one in status.pending]:
            raise MigrationRefused("the pending migrations changed while they were rehearsed", "Run this again")
        before = self._schema()
        own = self._engine.without_account
        if drift := differences(own(rehearsal.before), own(before), "the copy that was rehearsed on"):
            raise MigrationRefused(
                f"the schema changed while its copy was rehearsed on: {'; '.join(drift[:3])}", "Run this again"
            )
        target = Target(self._database, self._database.name(), self._description.lock_timeout,
                        self._description.statement_timeout)  # fmt: skip
        done: list[str] = []
        pending = status.pending
        for attempt in range(1, self._description.tries + 1):
            with Blockers(self._database) as blockers:
                applied = self._engine.up(target, pending, lambda name: say(f"applying {name}"))
            done += applied.migrations
            if applied.error is None:
                break
            whole = next(one.transactional for one in pending if one.id == applied.error.migration)
            waited = applied.error.sqlstate in _NO_LOCK or "lock timeout" in applied.error.said
            if not waited or not whole:
                # Outside of a transaction it is half done, and must not be begun again.
                raise self._half_way(applied, done, pending, before, blockers.seen if waited else "")
            if attempt == self._description.tries:
                raise self._half_way(applied, done, pending, before, blockers.seen)
            pause = min(2.0**attempt, 30)
            by = blockers.seen or "the blocker is gone"
            say(f"no lock within {target.lock_timeout:g} s ({by}); again in {pause:g} s")
            time.sleep(pause)
            pending = self.status().pending
        self._prove(rehearsal, done)
        return done

    def _half_way(
        self,
        applied: Applied,
        done: list[str],
        pending: tuple[Migration, ...],
        before: dict[str, str],
        blocked: str = "",
    ) -> MigrationError:
        """What is so now, and what to type next."""
        error = applied.error
        assert error is not None
        now = self._schema()
        own = self._engine.without_account
        same = own(now) == own(before)
        rest = [one.id for one in pending if one.id not in done]
        said = f"{error.problem}{f'. It was blocked by {blocked}' if blocked else ''}. "
        broken = _invalid_indexes(self._database)
        if broken:
            drops = " ".join(f"DROP INDEX CONCURRENTLY {name};" for name in broken)
            said += f"It left an invalid index: {', '.join(broken)}"
            hint = f"Type in psql: {drops} Then mend the migration, and run this again"
        elif same:
            said += "The real database has the schema that it had before"
            hint = "End what blocks it, then run this again" if blocked else "Mend the migration, then run this again"
        else:
            said += f"Applied: {', '.join(done) or 'none'}. Not applied: {', '.join(rest)}"
            hint = f"What was applied stays. Mend {error.migration}, then run this again"
            if not done:
                hint = f"{error.migration} is half done: undo by hand what it left, then run this again"
        return MigrationError(said, hint)

    def _prove(self, rehearsal: Rehearsal, done: list[str]) -> None:
        left = self.status()
        if left.pending or left.failed:
            raise MigrationError(
                f"{', '.join(done)} was applied, and {(left.failed or [left.pending[0].id])[0]} is not finished",
                "Look at the engine's own status",
            )
        if drift := differences(rehearsal.after, self._schema(), "the schema that was rehearsed"):
            raise MigrationError(
                f"{', '.join(done)} was applied, but made another schema than in the rehearsal: {'; '.join(drift[:5])}",
                "Somebody else may have changed it meanwhile: look at these objects",
            )
        say(f"applied {', '.join(done)}; the schema is the one that was rehearsed")


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


def _refuse_rehearsed(rehearsal: Rehearsal, answer: dict[str, Any]) -> None:
    if rehearsal.error is not None:
        raise _refused(
            answer, f"in the rehearsal {rehearsal.error.problem}", "The real database was not touched; mend it"
        )
    if rehearsal.findings:
        raise _refused(
            answer, f"the rehearsal found: {'; '.join(rehearsal.findings)}", "The real database was not touched"
        )


def _refused(answer: dict[str, Any], problem: str, hint: str) -> MigrationRefused:
    error = MigrationRefused(problem, hint)
    error.report = answer
    return error


def _words(finding: Finding) -> str:
    return f"{finding.migration} ({finding.file} line {finding.line}, {finding.rule}): {finding.message}"


def _invalid_indexes(database: Postgres) -> list[str]:
    """What CREATE INDEX CONCURRENTLY leaves when it fails."""
    query = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    with suppress(OpsError, psycopg.Error), closing(connect(database)) as connection:
        return [str(name) for (name,) in connection.execute(query)]
    return []
