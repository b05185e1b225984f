"""Another engine's command as a job on Google Cloud Run, where only that reaches the real database.

The API is Google's ``run.googleapis.com`` v2: ``projects.locations.jobs.run`` and ``…jobs.executions``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from ops.clouds.api import Api, ApiError
from ops.engines.base import Applied, Engine, Migration, Statement, Status, Target
from ops.errors import MigrationFailed, MigrationRefused, OpsError, PlatformUnreachable
from ops.migrations import CloudRunJob
from ops.worker.connection import ENGINE, connect

PAUSE = 1.0
"""Seconds between two looks."""
_LINES = 20
"""Of the log, shown of an execution that failed."""
_LOG_TRIES = 10
"""Looks for the log, which comes some seconds after what it tells of."""


class CloudRunJobEngine(Engine):
    """Applies to the real database by a job; knows everything else by the engine whose command that runs.

    The job's own settings name the database. The two limits, and the name by which its connections are known, go along
    as ``PGOPTIONS`` and ``PGAPPNAME``, which every program with libpq obeys.

    Args:
        engine: the one whose command the job runs.
        job: its description.
    """

    def __init__(self, engine: Engine, job: CloudRunJob) -> None:
        super().__init__(engine.table)
        self._engine = engine
        self._job = job
        self._api = Api("Cloud Run", job.api, job.token)
        self._logging = Api("Cloud Logging", job.logging, job.token)
        self._path = f"projects/{job.project}/locations/{job.region}/jobs/{job.job}"

    def require(self) -> None:
        """See that the job is there, and does not try again by itself what failed half-way.

        Raises:
            MigrationRefused: it would.
            OpsError: it is not there, or must not be seen.
        """
        job = self._api.ask("GET", self._path)
        # Google's own default, which stands in no answer.
        retries = job.get("template", {}).get("template", {}).get("maxRetries", 3)
        if retries:
            raise MigrationRefused(
                f"the Cloud Run job {self._job.job} tries {retries} times more by itself when a migration fails",
                f"Type: gcloud run jobs update {self._job.job} --max-retries 0 --region {self._job.region}",
            )

    def status(self, connection: psycopg.Connection) -> Status:
        """See ``Engine``."""
        return self._engine.status(connection)

    def current(self, connection: psycopg.Connection) -> str | None:
        """See ``Engine``."""
        return self._engine.current(connection)

    def applied(self, connection: psycopg.Connection) -> tuple[Migration, ...]:
        """See ``Engine``."""
        return self._engine.applied(connection)

    def since(self, connection: psycopg.Connection, to: str | None) -> tuple[Migration, ...]:
        """See ``Engine``."""
        return self._engine.since(connection, to)

    def undone(self, id: str) -> str:
        """See ``Engine``."""
        return self._engine.undone(id)

    def down(self, target: Target, migrations: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``. The job's command only goes forward."""
        raise MigrationRefused(f"the Cloud Run job {self._job.job} knows no way back", "Write a migration that undoes")

    def up(self, target: Target, pending: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``. The job applies all that is pending, whatever its image holds; what it did is looked up."""
        say(f"{', '.join(one.name for one in pending)} by the Cloud Run job {self._job.job}")
        began = time.monotonic()
        execution = self._executed(target, say)
        seconds = time.monotonic() - began
        with closing(connect(target.server, target.database)) as connection:
            now = self._engine.status(connection)
        open_still = [one.id for one in now.pending] + list(now.failed)
        done = [one.id for one in pending if one.id not in open_still]
        applied = Applied([Statement("job", self._job.job, began, seconds)], done)
        failed = next((one.id for one in pending if one.id in open_still), pending[-1].id)
        if not execution.get("succeededCount"):
            applied.error = MigrationFailed.of(failed, self._why(execution, say))
        elif len(done) < len(pending):
            said = f"the Cloud Run job {self._job.job} succeeded, but did not apply it: is it made of this very code, "
            applied.error = MigrationFailed.of(failed, f"{said}and is its database this one?")
        return applied

    def _executed(self, target: Target, say: Callable[[str], None]) -> dict[str, Any]:
        settings = " ".join(f"-c {name}={value}" for name, value in target.settings().items())
        given = [{"name": "PGOPTIONS", "value": settings}, {"name": "PGAPPNAME", "value": ENGINE}]
        overrides = {"containerOverrides": [{"env": given}], "taskCount": 1}
        try:
            operation = self._api.ask("POST", f"{self._path}:run", json={"overrides": overrides})
        except PlatformUnreachable as error:
            raise PlatformUnreachable(
                f"{error.problem}; whether the job {self._job.job} was begun is not known",
                f"Look: gcloud run jobs executions list --job {self._job.job} --region {self._job.region}",
            ) from None
        name = operation["metadata"]["name"]
        say(f"as {name.rpartition('/')[2]}")
        try:
            while True:
                execution: dict[str, Any] = self._api.ask("GET", name)
                if execution.get("completionTime"):
                    return execution
                time.sleep(PAUSE)
        except BaseException:
            self._cancel(name, say)
            raise

    def _cancel(self, name: str, say: Callable[[str], None]) -> None:
        """It must not go on when nobody waits for it any more."""
        try:
            self._api.ask("POST", f"{name}:cancel", json={})
        except OpsError as error:
            say(f"{name.rpartition('/')[2]} could not be cancelled, and may go on: {error.problem}")

    def _why(self, execution: dict[str, Any], say: Callable[[str], None]) -> str:
        """PostgreSQL's own words, where the log has them."""
        lines = self._log(execution["name"].rpartition("/")[2])
        for line in lines:
            say(line)
        spoken = [line for line in lines if "ERROR:" in line or "error:" in line.lower()]
        conditions = execution.get("conditions", ())
        completed = [one["message"] for one in conditions if one.get("type") == "Completed" and one.get("message")]
        said = completed[0] if completed else "the execution failed"
        return f"{spoken[-1]} ({said})" if spoken else said

    def _log(self, execution: str) -> list[str]:
        wanted = (
            'resource.type="cloud_run_job"'
            f' AND resource.labels.job_name="{self._job.job}"'
            f' AND labels."run.googleapis.com/execution_name"="{execution}"'
        )
        asked = {"resourceNames": [f"projects/{self._job.project}"], "filter": wanted,
                 "orderBy": "timestamp desc", "pageSize": _LINES}  # fmt: skip
        for _ in range(_LOG_TRIES):
            try:
                found = self._logging.ask("POST", "entries:list", json=asked, reads=True).get("entries", [])
            except ApiError as error:
                return [f"its log cannot be read: {error.problem}"]
            if found:
                return [str(one.get("textPayload") or one.get("jsonPayload", "")) for one in reversed(found)]
            time.sleep(PAUSE)
        return []
