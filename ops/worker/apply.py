"""The real database: what was rehearsed is done to it, and it is proved that it became what the rehearsal made."""

from __future__ import annotations

import time
from contextlib import closing, suppress

import psycopg

from ops.database import Postgres
from ops.engines import Applied, Engine, Migration, Status, Target
from ops.errors import MigrationError, MigrationFailed, MigrationRefused, OpsError
from ops.migrations import Migrations
from ops.worker.blockers import Blockers
from ops.worker.connection import ENGINE, connect
from ops.worker.fingerprint import differences, fingerprint
from ops.worker.progress import say
from ops.worker.rehearsal import Rehearsal
from ops.worker.way import Way

_NO_LOCK = "55P03"
"""lock_not_available: the only failure after which it is tried again."""
# One that is just being built is not valid yet either.
_INVALID = """
    SELECT indexrelid::regclass::text FROM pg_index
     WHERE NOT indisvalid AND indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)
"""
_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND usename = current_user AND application_name = %s
"""


class Application:
    """One application of migrations, or of their ways back.

    Args:
        engine: applies them.
        description: says how carefully.
        database: the real one.
        way: up or down.
    """

    def __init__(self, engine: Engine, description: Migrations, database: Postgres, way: Way) -> None:
        self._engine = engine
        self._way = way
        self._description = description
        self._database = database
        self._target = Target(database, database.name(), description.lock_timeout, description.statement_timeout)
        self._before: dict[str, str] = {}
        self._invalid: set[str] = set()
        self._done: list[str] = []

    def apply(self, rehearsed: tuple[Migration, ...], rehearsal: Rehearsal) -> list[str]:
        """Do what was rehearsed, with the very migrations, to the very schema; the ids of those it was done with.

        Raises:
            MigrationRefused: something changed meanwhile; nothing was begun.
            MigrationError: they were begun and not finished, or made another schema; says what is so now.
        """
        left = rehearsed
        self._require(left)
        self._before, self._invalid = self._schema(), self._invalid_indexes()
        own = self._engine.without_account
        if drift := differences(own(rehearsal.before), own(self._before), "the copy that was rehearsed on"):
            raise MigrationRefused(
                f"the schema changed while its copy was rehearsed on: {'; '.join(drift[:3])}", "Run this again"
            )
        for attempt in range(1, self._description.tries + 1):
            with Blockers(self._database) as blockers:
                applied = self._go(left)
            self._done += applied.migrations
            error = applied.error
            if error is None:
                break
            waited = error.sqlstate == _NO_LOCK or "lock timeout" in error.said
            # Outside of a transaction it is half done, and must not be begun again.
            whole = all(one.transactional for one in left if one.id == error.migration)
            if not waited or not whole or attempt == self._description.tries:
                raise self._half_way(error, left, whole, blockers.seen if waited else "")
            pause = min(2.0**attempt, 30)
            by = blockers.seen or "the blocker is gone"
            say(f"no lock within {self._target.lock_timeout:g} s ({by}); again in {pause:g} s")
            time.sleep(pause)
            left = tuple(one for one in left if one.id not in self._done)
            self._require(left)
        self._prove(rehearsal)
        return self._done

    def _go(self, left: tuple[Migration, ...]) -> Applied:
        """Whatever ends it, nothing of it goes on in the server."""
        applied = Applied()
        try:
            applied = self._way.go(self._engine, self._target, left, lambda name: say(f"{self._way.doing} {name}"))
        except KeyboardInterrupt:
            applied.error = MigrationFailed.of(self._way.first(left).id, "it was interrupted")
        except OpsError as error:
            applied.error = MigrationFailed.of(self._way.first(left).id, str(error))
        if applied.error:
            self._end()
        return applied

    def _end(self) -> None:
        with suppress(OpsError, psycopg.Error), closing(connect(self._database)) as connection:
            for _ in range(100):
                if not connection.execute(_END, [ENGINE]).fetchall():
                    return
                time.sleep(0.1)

    def _state(self) -> tuple[Status, tuple[Migration, ...]]:
        """The status, and what is left to do."""
        with closing(connect(self._database)) as connection:
            status = self._engine.status(connection)
            return status, self._way.left(self._engine, connection, status)

    def _schema(self) -> dict[str, str]:
        with closing(connect(self._database)) as connection:
            return fingerprint(connection)

    def _invalid_indexes(self) -> set[str]:
        """What CREATE INDEX CONCURRENTLY leaves when it fails."""
        with closing(connect(self._database)) as connection:
            return {str(name) for (name,) in connection.execute(_INVALID)}

    def _require(self, rehearsed: tuple[Migration, ...]) -> None:
        """What is left must be what was rehearsed, file by file."""
        status, left = self._state()
        if status.failed or [(one.id, one.digest) for one in left] != [(one.id, one.digest) for one in rehearsed]:
            so_far = f"; {self._way.done} until then: {', '.join(self._done)}" if self._done else ""
            raise MigrationRefused(f"{self._way.these} changed since they were rehearsed{so_far}", "Run this again")

    def _half_way(
        self, error: MigrationFailed, tried: tuple[Migration, ...], whole: bool, blocked: str
    ) -> MigrationError:
        """What is so now, and what to type next."""
        said = f"{error.problem}{f'. It was blocked by {blocked}' if blocked else ''}. "
        way, mend = self._way, f"Mend {self._way.mended.format(error.migration)}"
        try:
            (status, left), now = self._state(), self._schema()
            broken = sorted(self._invalid_indexes() - self._invalid)
        except OpsError as unknown:
            return MigrationError(
                f"{said}What is so now is not known: {unknown.problem}", "Look at the database, then run this again"
            )
        open_still = [one.id for one in left] + list(status.failed)
        rest = [one.id for one in tried if one.id in open_still]
        self._done += [one.id for one in tried if one.id not in [*self._done, *rest]]
        own = self._engine.without_account
        told = self._engine.undone(error.migration) if error.migration in status.failed else ""
        then = f"then type {told} and run this again" if told else "then run this again"
        if broken:
            drops = " ".join(f"DROP INDEX CONCURRENTLY {name};" for name in broken)
            said += f"It left an invalid index: {', '.join(broken)}"
            return MigrationError(said, f"Type in psql: {drops} {mend}, {then}")
        if self._done:
            said += f"{way.done.capitalize()}: {', '.join(self._done)}. Not {way.done}: {', '.join(rest) or 'none'}"
            return MigrationError(said, f"What was {way.done} stays. {mend}, {then}")
        if own(now) != own(self._before):
            said += f"{error.migration} is {way.half}"
            return MigrationError(said, f"{way.remains}, {then}")
        if not whole:
            said += "The schema is as before, but rows may have been changed: it is no transaction"
            return MigrationError(said, f"Look at what it did, undo that by hand, {then}")
        said += "The real database has the schema that it had before"
        return MigrationError(said, f"{'End what blocks it' if blocked else mend}, {then}")

    def _prove(self, rehearsal: Rehearsal) -> None:
        status, left = self._state()
        done = f"{', '.join(self._done)} was {self._way.done}"
        if left or status.failed:
            rest = status.failed[0] if status.failed else self._way.first(left).id
            raise MigrationError(f"{done}, and {rest} is not finished", "Look at the engine's own status")
        if drift := differences(rehearsal.after, self._schema(), "the schema that was rehearsed"):
            raise MigrationError(
                f"{done}, but the schema is another than in the rehearsal: {'; '.join(drift[:5])}",
                "Somebody else may have changed it meanwhile: look at these objects",
            )
        say(f"{done}; the schema is the one that was rehearsed")
