"""The real database: what was rehearsed is applied to it, and it is proved that it became what the rehearsal made."""

from __future__ import annotations

import time
from contextlib import closing, suppress

import psycopg

from ops.engines import Applied, Engine, Migration, Status, Target
from ops.environment import Postgres
from ops.errors import MigrationError, MigrationFailed, MigrationRefused, OpsError
from ops.migrations import Migrations
from ops.worker.blockers import Blockers
from ops.worker.connection import ENGINE, connect
from ops.worker.fingerprint import differences, fingerprint
from ops.worker.progress import say
from ops.worker.rehearsal import Rehearsal

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
    """One application of migrations.

    Args:
        engine: applies them.
        description: says how carefully.
        database: the real one.
    """

    def __init__(self, engine: Engine, description: Migrations, database: Postgres) -> None:
        self._engine = engine
        self._description = description
        self._database = database
        self._target = Target(database, database.name(), description.lock_timeout, description.statement_timeout)
        self._before: dict[str, str] = {}
        self._invalid: set[str] = set()
        self._done: list[str] = []

    def apply(self, rehearsed: Status, rehearsal: Rehearsal) -> list[str]:
        """Apply the very migrations that were rehearsed, to the very schema; the ids of those applied.

        Raises:
            MigrationRefused: something changed meanwhile; nothing was begun.
            MigrationError: they were begun and not finished, or made another schema; says what is so now.
        """
        pending = rehearsed.pending
        self._require(pending)
        self._before, self._invalid = self._schema(), self._invalid_indexes()
        own = self._engine.without_account
        if drift := differences(own(rehearsal.before), own(self._before), "the copy that was rehearsed on"):
            raise MigrationRefused(
                f"the schema changed while its copy was rehearsed on: {'; '.join(drift[:3])}", "Run this again"
            )
        for attempt in range(1, self._description.tries + 1):
            with Blockers(self._database) as blockers:
                applied = self._up(pending)
            self._done += applied.migrations
            error = applied.error
            if error is None:
                break
            waited = error.sqlstate == _NO_LOCK or "lock timeout" in error.said
            # Outside of a transaction it is half done, and must not be begun again.
            whole = all(one.transactional for one in pending if one.id == error.migration)
            if not waited or not whole or attempt == self._description.tries:
                raise self._half_way(error, pending, whole, blockers.seen if waited else "")
            pause = min(2.0**attempt, 30)
            by = blockers.seen or "the blocker is gone"
            say(f"no lock within {self._target.lock_timeout:g} s ({by}); again in {pause:g} s")
            time.sleep(pause)
            pending = tuple(one for one in pending if one.id not in self._done)
            self._require(pending)
        self._prove(rehearsal)
        return self._done

    def _up(self, pending: tuple[Migration, ...]) -> Applied:
        """Whatever ends it, nothing of it goes on in the server."""
        applied = Applied()
        try:
            applied = self._engine.up(self._target, pending, lambda name: say(f"applying {name}"))
        except KeyboardInterrupt:
            applied.error = MigrationFailed.of(pending[0].id, "it was interrupted")
        except OpsError as error:
            applied.error = MigrationFailed.of(pending[0].id, str(error))
        if applied.error:
            self._end()
        return applied

    def _end(self) -> None:
        with suppress(OpsError, psycopg.Error), closing(connect(self._database)) as connection:
            for _ in range(100):
                if not connection.execute(_END, [ENGINE]).fetchall():
                    return
                time.sleep(0.1)

    def _status(self) -> Status:
        with closing(connect(self._database)) as connection:
            return self._engine.status(connection)

    def _schema(self) -> dict[str, str]:
        with closing(connect(self._database)) as connection:
            return fingerprint(connection)

    def _invalid_indexes(self) -> set[str]:
        """What CREATE INDEX CONCURRENTLY leaves when it fails."""
        with closing(connect(self._database)) as connection:
            return {str(name) for (name,) in connection.execute(_INVALID)}

    def _require(self, pending: tuple[Migration, ...]) -> None:
        """What is pending must be what was rehearsed, file by file."""
        now = self._status()
        if now.failed or [(one.id, one.digest) for one in now.pending] != [(one.id, one.digest) for one in pending]:
            raise MigrationRefused(
                f"the pending migrations changed since they were rehearsed{self._so_far()}", "Run this again"
            )

    def _so_far(self) -> str:
        return f"; applied until then: {', '.join(self._done)}" if self._done else ""

    def _half_way(
        self, error: MigrationFailed, pending: tuple[Migration, ...], whole: bool, blocked: str
    ) -> MigrationError:
        """What is so now, and what to type next."""
        said = f"{error.problem}{f'. It was blocked by {blocked}' if blocked else ''}. "
        try:
            status, now, broken = self._status(), self._schema(), sorted(self._invalid_indexes() - self._invalid)
        except OpsError as unknown:
            return MigrationError(
                f"{said}What is so now is not known: {unknown.problem}", "Look at the database, then run this again"
            )
        self._done += [one.id for one in pending if one.id not in self._done and self._is_applied(one, status)]
        rest = [one.id for one in pending if one.id not in self._done]
        own = self._engine.without_account
        told = self._engine.undone(error.migration) if error.migration in status.failed else ""
        then = f"then type {told} and run this again" if told else "then run this again"
        if broken:
            drops = " ".join(f"DROP INDEX CONCURRENTLY {name};" for name in broken)
            said += f"It left an invalid index: {', '.join(broken)}"
            return MigrationError(said, f"Type in psql: {drops} Mend the migration, {then}")
        if self._done:
            said += f"Applied: {', '.join(self._done)}. Not applied: {', '.join(rest) or 'none'}"
            return MigrationError(said, f"What was applied stays. Mend {error.migration}, {then}")
        if own(now) != own(self._before):
            said += f"{error.migration} is half done"
            return MigrationError(said, f"Undo by hand what it left, {then}")
        if not whole:
            said += "The schema is as before, but rows may have been changed: it is no transaction"
            return MigrationError(said, f"Look at what it did, undo that by hand, {then}")
        said += "The real database has the schema that it had before"
        return MigrationError(said, f"{'End what blocks it' if blocked else 'Mend the migration'}, {then}")

    def _is_applied(self, migration: Migration, status: Status) -> bool:
        return migration.id not in status.failed and migration.id not in [one.id for one in status.pending]

    def _prove(self, rehearsal: Rehearsal) -> None:
        left = self._status()
        done = ", ".join(self._done)
        if left.pending or left.failed:
            raise MigrationError(
                f"{done} was applied, and {(left.failed or (left.pending[0].id,))[0]} is not finished",
                "Look at the engine's own status",
            )
        if drift := differences(rehearsal.after, self._schema(), "the schema that was rehearsed"):
            raise MigrationError(
                f"{done} was applied, but made another schema than in the rehearsal: {'; '.join(drift[:5])}",
                "Somebody else may have changed it meanwhile: look at these objects",
            )
        say(f"applied {done}; the schema is the one that was rehearsed")
