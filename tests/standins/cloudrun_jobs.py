"""Google Cloud Run's API v2, its jobs: one, whose executions truly run a command, and their log."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standins.server import Answer, Request, StandIn, Violation

TOKEN = "ya29.of-the-tests"
JOB = "projects/tests/locations/us-east1/jobs/migrate"
TEMPLATE = "type.googleapis.com/google.cloud.run.v2.Execution"


class GoogleCloudRunJobs(StandIn):
    """The job ``migrate``.

    Args:
        command: of its container.
        directory: in which it runs.
    """

    def __init__(self, command: list[str], directory: Path) -> None:
        super().__init__()
        self.command = command
        self.directory = directory
        self.retries: int | None = 0
        self.executions: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.log: dict[str, list[str]] = {}

    def error(self, said: str) -> Any:
        return {"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer(401, {"error": {"code": 401, "message": "invalid", "status": "UNAUTHENTICATED"}})
        asked = (request.method, request.path.removeprefix("/v2/"))
        if asked == ("GET", JOB):
            retries = {} if self.retries is None else {"maxRetries": self.retries}
            return Answer(200, {"name": JOB, "template": {"taskCount": 1, "template": retries}})
        if asked == ("POST", f"{JOB}:run"):
            return self.run(request.body)
        if asked == ("POST", "entries:list"):
            return self.entries(request.body)
        if found := re.fullmatch(rf"({JOB}/executions/[a-z0-9-]+)(:cancel)?", asked[1]):
            if found[1] not in self.executions:
                return Answer(
                    404, {"error": {"code": 404, "message": "Resource was not found.", "status": "NOT_FOUND"}}
                )
            if found[2] and request.method == "POST":
                self.processes[found[1]].terminate()
                return Answer(200, {"name": "operations/cancel", "metadata": self.executions[found[1]]})
            if request.method == "GET" and not found[2]:
                return Answer(200, self.executions[found[1]])
        raise Violation("no such path", 404)

    def run(self, body: dict[str, Any]) -> Answer:
        """See ``google.cloud.run.v2.RunJobRequest``."""
        if set(body) - {"validateOnly", "etag", "overrides"}:
            raise Violation("a field that is not known")
        overrides = body.get("overrides", {})
        if set(overrides) - {"containerOverrides", "taskCount", "timeout"}:
            raise Violation("an override that is not known")
        given: dict[str, str] = {}
        for container in overrides.get("containerOverrides", ()):
            if set(container) - {"name", "args", "env", "clearArgs"}:
                raise Violation("an override of a container that is not known")
            given |= {one["name"]: one["value"] for one in container.get("env", ())}
        name = f"{JOB}/executions/migrate-{len(self.executions):05x}"
        self.executions[name] = {"name": name, "@type": TEMPLATE, "runningCount": 1, "taskCount": 1}
        threading.Thread(target=self._runs, args=(name, given)).start()
        return Answer(
            200, {"name": "projects/tests/locations/us-east1/operations/o", "metadata": self.executions[name]}
        )

    def _runs(self, name: str, given: dict[str, str]) -> None:
        self.processes[name] = process = subprocess.Popen(
            self.command, cwd=self.directory, env={"PATH": os.environ["PATH"], **given}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = process.communicate()
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        with self.lock:
            self.log[name] = printed.splitlines()
            over: dict[str, Any] = {"completionTime": now, "runningCount": 0}
            if process.returncode == 0:
                over |= {"succeededCount": 1, "conditions": [{"type": "Completed", "state": "CONDITION_SUCCEEDED"}]}
            else:
                said = f"Task {name[-13:]}-task0 failed with message: The container exited with an error."
                failed = {"type": "Completed", "state": "CONDITION_FAILED", "message": said}
                over |= {"failedCount": 1, "conditions": [failed]}
            self.executions[name] |= over

    def entries(self, body: dict[str, Any]) -> Answer:
        if body["resourceNames"] != ["projects/tests"] or body["orderBy"] != "timestamp desc":
            raise Violation("not this project's, or not the newest first")
        wanted = re.search(r'labels\."run\.googleapis\.com/execution_name"="([^"]+)"', body["filter"])
        if wanted is None or 'resource.labels.job_name="migrate"' not in body["filter"]:
            raise Violation("the filter does not name the execution and its job")
        lines = self.log.get(f"{JOB}/executions/{wanted[1]}", [])
        return Answer(200, {"entries": [{"textPayload": line} for line in reversed(lines)][: body["pageSize"]]})
