"""The gate that migrations go through, either way: restore point, rehearsal, the real database, and the proof."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Any

from ops.engines import Engine, Migration, Status
from ops.errors import MigrationError, MigrationRefused
from ops.lock import Lock
from ops.stores import open_store
from ops.worker import dump
from ops.worker.apply import Application
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect
from ops.worker.copy import Copy, branched, copied
from ops.worker.fingerprint import fingerprint
from ops.worker.privileges import lacking, unrecordable
from ops.worker.progress import say, timed
from ops.worker.rehearsal import Rehearsal, rehearse
from ops.worker.request import Request
from ops.worker.way import Way

if TYPE_CHECKING:
    from ops.engines.cloudrun_job import CloudRunJobEngine

LOCK = "migrate.lock"


@contextmanager
def reported(answer: dict[str, Any]) -> Iterator[None]:
    """What was found until then goes along with a failure."""
    try:
        yield
    except MigrationError as error:
        error.report = answer
        raise


class Gate:
    """What stands between migrations and the real database.

    Args:
        request: says how far they may go.
        engine: of the migrations.
        way: up or down.
    """

    def __init__(self, request: Request, engine: Engine, way: Way) -> None:
        assert request.migrations is not None and request.database is not None
        self._request = request
        self._description = description = request.migrations
        self._database = request.database
        self._engine = engine
        self._way = way
        self._job: CloudRunJobEngine | None = None
        if description.job is not None and request.hotfix is None:
            from ops.engines.cloudrun_job import CloudRunJobEngine  # not everybody needs what it imports

            self._job = CloudRunJobEngine(engine, description.job)
        self._store = open_store(request.store)
        self._catalogue = Catalogue(self._store, request.environment, request.database_name)

    def step(self, name: str, answer: dict[str, Any], do: Any) -> Any:
        """Do it, and write down the seconds that it takes."""
        with timed(answer["seconds"], name):
            return do()

    def state(self) -> tuple[Status, tuple[Migration, ...]]:
        """The status of the real database, and what has this way to go."""
        with closing(connect(self._database)) as connection:
            self.major = connection.info.server_version // 10000
            status = self._engine.status(connection)
            return status, self._way.left(self._engine, connection, status)

    def require(self) -> None:
        """See that what will be done can be written down, or that the job which will do it is fit.

        Raises:
            MigrationRefused: it cannot, or is not.
        """
        if self._job is not None:
            self._job.require()
            return
        with closing(connect(self._database)) as connection:
            if wrong := unrecordable(connection, self._engine, self._way.privilege):
                raise MigrationRefused(wrong, "Connect as the role that owns it, or grant that")

    def take(self, migrations: tuple[Migration, ...], answer: dict[str, Any]) -> None:
        """Take them through, as far as is asked for; the answer tells what came of it.

        Raises:
            MigrationRefused: they were found wanting; the real database is as it was.
            MigrationError: they were begun on the real database, and not finished.
        """
        catalogue = self._catalogue
        with Lock(catalogue.store, catalogue.prefix + LOCK, self._request.owner, "a migration") as lock:
            self.step("restore point", answer, lambda: self._restore_point(answer))
            rehearsal = self.step("rehearsal", answer, lambda: self._rehearse(migrations))
            answer["rehearsal"] = rehearsal.to_json()
            _refuse_rehearsed(rehearsal, self._way)
            if self._request.until == "proof":
                if self._request.neon is not None:
                    self.step("restore branch", answer, lambda: self._restore_branch(answer))
                lock.confirm()
                answer[self._way.done] = self.step("apply", answer, lambda: self._apply(migrations, rehearsal))
                answer["changed"] = True

    def _schema(self) -> dict[str, str]:
        with closing(connect(self._database)) as connection:
            return fingerprint(connection)

    def _restore_point(self, answer: dict[str, Any]) -> None:
        """A backup that is young enough, and of the schema as it is now: the rehearsal may need it."""
        max_age: float | None = self._description.restore_point_age()
        newest = next(self._catalogue.sound(), None)
        if newest is not None and newest.manifest is not None and newest.manifest.fingerprint != self._schema():
            say(f"{newest.id} is of another schema: a new backup is taken")
            max_age = None
        taken = dump.run(self._request.model_copy(update={"max_age": max_age}))
        self._catalogue.forget()
        answer["restore_point"] = taken["backup"]["id"]
        say(f"the restore point is {taken['backup']['id']}{'' if taken['changed'] else ', which is young enough'}")

    def _restore_branch(self, answer: dict[str, Any]) -> None:
        """A branch on Neon of the very state that is migrated."""
        from ops.worker.branches import restore_point  # not everybody needs what it imports

        assert self._request.neon is not None
        answer["restore_branch"] = restore_point(self._request.neon, self._request.environment)

    def _rehearse(self, migrations: tuple[Migration, ...]) -> Rehearsal:
        """On a copy that has applied what the real database has; a backup that is older is no such copy."""
        found = self._rehearse_once(migrations)
        if found is None:
            say("the newest backup is from before the last migration: a new one is taken")
            dump.run(self._request.model_copy(update={"max_age": None}))
            self._catalogue.forget()
            found = self._rehearse_once(migrations)
        if found is None:
            raise MigrationRefused(
                "the copy has applied other migrations than the real database", "Somebody may be migrating it: look"
            )
        return found

    def _rehearse_once(self, migrations: tuple[Migration, ...]) -> Rehearsal | None:
        began = time.monotonic()
        with self._copy() as copy:
            if not self._is_as_far(copy, migrations):
                return None
            say(f"rehearsing on {copy.how}")
            seconds = round(time.monotonic() - began, 3)
            found = rehearse(self._engine, self._description, migrations, copy, self._way)
            found.seconds = {"copy": seconds, **found.seconds}
        if self._job is not None:  # its role is not ours
            return found
        with closing(connect(self._database)) as connection:
            found.findings += lacking(connection, found.altered(), found.written(), found.made())
        return found

    def _copy(self) -> AbstractContextManager[Copy]:
        request = self._request
        alone = self._engine.account if self._description.rehearse_on == "schema" else None
        if request.neon is not None and alone is None:
            return branched(request.environment, request.neon, self._database)
        assert request.server is not None
        return copied(self._catalogue, self._database, request.server, request.jobs, alone)

    def _is_as_far(self, copy: Copy, migrations: tuple[Migration, ...]) -> bool:
        """Whether a copy has the very same left to do."""
        with closing(connect(copy.server, copy.name)) as connection:
            there = self._engine.status(connection)
            try:
                left = self._way.left(self._engine, connection, there)
            except MigrationRefused:  # it was never where the way ends
                return False
        return not there.failed and [one.id for one in left] == [one.id for one in migrations]

    def _apply(self, migrations: tuple[Migration, ...], rehearsal: Rehearsal) -> list[str]:
        application = Application(self._job or self._engine, self._description, self._database, self._way)
        return application.apply(migrations, rehearsal)


def _refuse_rehearsed(rehearsal: Rehearsal, way: Way) -> None:
    untouched = "" if rehearsal.elsewhere else "The real database was not touched"
    if rehearsal.error is not None:
        mended = way.mended.format(rehearsal.error.migration)
        raise MigrationRefused(f"in the rehearsal {rehearsal.error.problem}", f"{untouched}; mend {mended}")
    if rehearsal.findings:
        raise MigrationRefused(f"the rehearsal found: {'; '.join(rehearsal.findings)}", untouched)
