"""Cloudflare Workers. A script is one instance here: it runs wherever it is asked for, without a process of its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.clouds.api import ApiError
from ops.errors import ReleaseMissing, ServiceError
from ops.platforms.base import Instance, Release, State, Status
from ops.platforms.cloud import CloudPlatform
from ops.platforms.cloudflare import Cloudflare, codes
from ops.services import Workers

SECRETS_CHANGED = 10220
"""A secret is another one now than when the version was made. ``wrangler rollback -y`` forces here, and this never."""
KEPT = timedelta(days=7)
"""For how long Workers Logs keeps the longest."""


class WorkersPlatform(CloudPlatform):
    """A script on Cloudflare Workers; its versions are its releases, and its newest deployment serves.

    Args:
        service: its description.
    """

    cloud = "Cloudflare"

    def __init__(self, service: Workers) -> None:
        self._script = service.script or service.name
        self._cloudflare = Cloudflare(service.api, service.account, service.token)
        self._path = f"workers/scripts/{self._script}"

    def status(self) -> Status:
        """See ``Platform``. Deployed is running: Cloudflare says no more, so give the service a ``health``."""
        deployments = self._deployments()
        if not deployments:
            return Status((Instance(self._script, State.STOPPED),))
        version = _most(deployments[0])
        since = _when(deployments[0]["created_on"])
        return Status((Instance(self._script, State.RUNNING, since, version),), version, since)

    def releases(self) -> list[Release]:
        """See ``Platform``. Those that served are known from the deployments that Cloudflare still lists."""
        return self._releases(self._deployments())

    def restart(self, instance: str) -> None:
        """See ``Platform``. It is another deployment of what serves: there is no process to end."""
        deployments = self._deployments()
        if not deployments:
            raise ServiceError(f"{self._script} was never deployed", "Activate a release, or deploy it")
        self._deploy(deployments[0]["versions"], "Restart")

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        if not self._deployments():
            raise ServiceError(f"{self._script} was never deployed", "Activate a release, or deploy it")

    def stop(self, instance: str) -> None:
        """See ``Platform``."""
        raise ServiceError(
            f"{self._script} cannot be stopped: Cloudflare Workers know no stopping",
            "Take away its routes and its workers.dev address, or activate a release that answers 503",
        )

    def activate(self, release: str) -> bool:
        """See ``Platform``."""
        deployments = self._deployments()
        names = [each.id for each in self._releases(deployments)]
        if release not in names:
            raise ReleaseMissing.among(self._script, release, names)
        if deployments and [each["version_id"] for each in deployments[0]["versions"]] == [release]:
            return False
        self._deploy([{"version_id": release, "percentage": 100}], "Rollback")
        return True

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``. There are lines only where Workers Logs is enabled for the script."""
        now = datetime.now(UTC)
        begin = max(since or now - KEPT, now - KEPT)
        asked = {
            "queryId": "pyinfra-ops",
            "timeframe": {"from": int(begin.timestamp() * 1000), "to": int(now.timestamp() * 1000)},
            "view": "events",
            "limit": lines,
            "parameters": {
                "datasets": ["cloudflare-workers"],
                "filters": [{"key": "$metadata.service", "operation": "eq", "type": "string", "value": self._script}],
            },
        }
        answer = self._cloudflare.ask("POST", "workers/observability/telemetry/query", json=asked)
        events = (answer.get("events") or {}).get("events", [])
        return [_line(event) for event in sorted(events, key=lambda event: event["timestamp"])][-lines:]

    def missing(self, names: list[str]) -> list[str]:
        """See ``Platform``."""
        deployments = self._deployments()
        if not deployments:
            return list(names)
        answer = self._cloudflare.ask("GET", f"{self._path}/versions/{_most(deployments[0])}")
        given = {binding["name"] for binding in answer["resources"].get("bindings", ())}
        return [name for name in names if name not in given]

    def _deployments(self) -> list[dict[str, Any]]:
        """Newest first, whatever order they come in."""
        found = self._cloudflare.ask("GET", f"{self._path}/deployments")["deployments"]
        return sorted(found, key=lambda each: _when(each["created_on"]), reverse=True)

    def _releases(self, deployments: list[dict[str, Any]]) -> list[Release]:
        answer = self._cloudflare.ask("GET", f"{self._path}/versions", params={"deployable": "true"})
        versions = [version["id"] for version in answer["items"]]
        served: dict[str, datetime] = {}
        for deployment in reversed(deployments):
            # Of a deployment in parts the one with the most is the last, and so the first of all.
            for each in sorted(deployment["versions"], key=lambda each: each["percentage"]):
                served.pop(each["version_id"], None)
                served[each["version_id"]] = _when(deployment["created_on"])
        current = _most(deployments[0]) if deployments else None
        known = [name for name in reversed(served) if name in versions or name == current]
        return [Release(name, served.get(name)) for name in dict.fromkeys([*known, *versions])]

    def _deploy(self, versions: list[dict[str, Any]], message: str) -> None:
        body = {"strategy": "percentage", "versions": versions, "annotations": {"workers/message": message}}
        try:
            self._cloudflare.ask("POST", f"{self._path}/deployments", json=body)
        except ApiError as error:
            if SECRETS_CHANGED not in codes(error):
                raise
            raise ServiceError(
                f"{self._script} was left as it is: {versions[0]['version_id']} would serve with other secrets than "
                f"it was made with: {error.problem}",
                "Deploy it again from its source; or if it can do with the new secrets, type: wrangler rollback",
            ) from None


def _most(deployment: dict[str, Any]) -> str:
    return str(max(deployment["versions"], key=lambda each: each["percentage"])["version_id"])


def _line(event: dict[str, Any]) -> str:
    said = event.get("$metadata", {}).get("message") or event.get("source", "")
    said = said if isinstance(said, str) else json.dumps(said)
    time = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    return f"{time.isoformat(timespec='milliseconds')} {' '.join(said.split())}"


def _when(time: str) -> datetime:
    return datetime.fromisoformat(time)
