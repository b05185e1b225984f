"""Railway, by its GraphQL API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.clouds.api import Api, sendable
from ops.errors import ReleaseMissing, ServiceError, ServiceMissing
from ops.platforms.base import Instance, Release, State, Status
from ops.platforms.cloud import CloudPlatform
from ops.platforms.graphql import asked
from ops.services import Railway

PAUSE = 2.0
"""Seconds between two looks: Railway counts requests by the hour."""
_SERVE = ("SUCCESS", "SLEEPING", "CRASHED")
_SERVED = (*_SERVE, "REMOVED", "REMOVING")
_STATES = {
    "CRASHED": State.FAILED,
    "FAILED": State.FAILED,
    "REMOVED": State.STOPPED,
    "REMOVING": State.STOPPED,
    "SKIPPED": State.STOPPED,
    # Asleep until the next request, which it answers.
    "SLEEPING": State.RUNNING,
}
_REPLICAS = {"RUNNING": State.RUNNING, "CRASHED": State.FAILED, "EXITED": State.STOPPED, "STOPPED": State.STOPPED}
_HISTORY = """query History($input: DeploymentListInput!) {
  deployments(input: $input, first: 100) {
    edges { node {
      id status createdAt statusUpdatedAt snapshotId canRollback deploymentStopped instances { status }
    } }
  }
}"""
_LOGS = """query Logs($deployment: String!, $limit: Int, $since: DateTime) {
  deploymentLogs(deploymentId: $deployment, limit: $limit, startDate: $since) { timestamp message }
}"""
# Unrendered, so that what a reference stands for is not even sent.
_VARIABLES = """query Names($project: String!, $environment: String!, $service: String) {
  variables(projectId: $project, environmentId: $environment, serviceId: $service, unrendered: true)
}"""
_ROLLBACK = "mutation Rollback($id: String!) { deploymentRollback(id: $id) }"
_RESTART = "mutation Restart($id: String!) { deploymentRestart(id: $id) }"
_STOP = "mutation Stop($id: String!) { deploymentStop(id: $id) }"
_REDEPLOY = "mutation Redeploy($id: String!) { deploymentRedeploy(id: $id, usePreviousImageTag: true) { id } }"


@dataclass(frozen=True)
class _Deployment:
    id: str
    status: str
    created: datetime
    moved: datetime
    snapshot: str
    can_rollback: bool
    stopped: bool
    replicas: tuple[str, ...]

    @property
    def state(self) -> State:
        if self.status in _STATES:
            return _STATES[self.status]
        if self.status != "SUCCESS":
            return State.STARTING
        if self.stopped:
            return State.STOPPED
        if not self.replicas:
            return State.RUNNING
        return Status(tuple(Instance("", _REPLICAS.get(one, State.STARTING)) for one in self.replicas)).state


class RailwayPlatform(CloudPlatform):
    """A service on Railway.

    Going back makes a new deployment of an old snapshot, of image and variables. So a release is what shares a
    snapshot, and is called by the id of its first deployment.

    Args:
        service: its description.
    """

    cloud = "Railway"

    def __init__(self, service: Railway) -> None:
        self._service = service
        headers = {"Project-Access-Token": sendable(service.token)} if service.project_token else None
        self._api = Api("Railway", service.api, None if service.project_token else service.token, headers)

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        return asked(self._api, "", self._service.token, query, **variables)

    def status(self) -> Status:
        """See ``Platform``. The replicas of a service are one instance: Railway starts and stops them together."""
        history = self._history()
        current = _current(history)
        release = next(group[0].id for group in _groups(history) if current in group)
        since = current.moved if current.state is State.RUNNING else None
        instance = Instance(self._service.name, current.state, since, release)
        return Status((instance,), release, current.created)

    def _history(self) -> list[_Deployment]:
        """Its deployments, newest first."""
        service = self._service
        scope = {
            "projectId": service.project,
            "environmentId": service.environment,
            "serviceId": service.service,
        }
        edges = self._ask(_HISTORY, input=scope)["deployments"]["edges"]
        if not edges:
            raise ServiceMissing(
                f"Railway knows no deployment of {service.name}",
                "Look at project=, environment= and service= in the inventory",
            )
        return sorted((_deployment(edge["node"]) for edge in edges), key=lambda one: one.created, reverse=True)

    def releases(self) -> list[Release]:
        """See ``Platform``."""
        return _releases(self._history())

    def restart(self, instance: str) -> None:
        """See ``Platform``."""
        before = _current(self._history())
        if before.state is State.STOPPED:
            self.start(instance)
            return
        if self._ask(_RESTART, id=before.id).get("deploymentRestart") is not True:
            raise ServiceError(f"Railway refused to restart {instance}", "Look at the service's deployments there")

        # Until then Railway shows the process that is about to go as one that runs.
        def seen(history: list[_Deployment]) -> bool:
            now = _current(history)
            return now.moved != before.moved or now.state is not before.state

        if not self._until(seen):
            raise ServiceError(
                f"Railway has not restarted {instance} after {self._service.within:g} s", "Look at its log there"
            )

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        history = self._history()
        if _current(history).state in (State.RUNNING, State.STARTING):
            return
        last = next((one for one in history if one.status in _SERVE), history[0])
        self._ask(_REDEPLOY, id=last.id)

    def stop(self, instance: str) -> None:
        """See ``Platform``."""
        current = _current(self._history())
        if current.state not in (State.RUNNING, State.STARTING):
            return
        self._ask(_STOP, id=current.id)
        if not self._until(lambda history: any(one.id == current.id and one.stopped for one in history)):
            raise ServiceError(f"{instance} has not stopped after {self._service.within:g} s", "Look at its log")

    def activate(self, release: str) -> bool:
        """See ``Platform``."""
        history = self._history()
        group = next((group for group in _groups(history) if any(one.id == release for one in group)), None)
        if group is None:
            ids = [one.id for one in _releases(history)]
            raise ReleaseMissing.among(f"{self._service.name} on Railway", release, ids)
        if _current(history) in group:
            return False
        target = next((one for one in reversed(group) if one.can_rollback), None)
        if target is None:
            raise ServiceError(f"Railway cannot go back to {release}", "Its image is kept no longer: deploy it anew")
        if self._ask(_ROLLBACK, id=target.id).get("deploymentRollback") is not True:
            raise ServiceError(f"Railway refused to go back to {release}", "Look at the service's deployments there")
        self._serves(release, target.snapshot, {one.id for one in history})
        return True

    def _serves(self, release: str, snapshot: str, before: set[str]) -> None:
        """Wait until the deployment that going back made serves: the answer does not tell its id."""
        made: list[_Deployment] = []

        def settled(history: list[_Deployment]) -> bool:
            made[:] = [one for one in history if one.snapshot == snapshot and one.id not in before]
            return bool(made) and made[0].status in (*_SERVED, "FAILED", "SKIPPED")

        in_time = self._until(settled)
        if not in_time:
            raise ServiceError(
                f"{release} does not serve on Railway after {self._service.within:g} s",
                "It may yet: look at the status again, or write a longer within= in the inventory",
            )
        if made[0].status not in ("SUCCESS", "SLEEPING"):
            raise ServiceError(
                f"Going back to {release} ended as {made[0].status} on Railway",
                "Look at the status: what served before still does, or somebody else deployed meanwhile",
            )

    def _until(self, done: Callable[[list[_Deployment]], bool]) -> bool:
        """Look again and again; whether it came to pass within the service's time."""
        deadline = time.monotonic() + self._service.within
        while not done(self._history()):
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE)
        return True

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``."""
        found = self._ask(
            _LOGS,
            deployment=_current(self._history()).id,
            limit=max(lines, 500),
            since=since.isoformat() if since else None,
        )["deploymentLogs"]
        ordered = sorted(found, key=lambda line: datetime.fromisoformat(line["timestamp"]))
        return [f"{line['timestamp']} {line['message']}" for line in ordered][-lines:]

    def missing(self, names: list[str]) -> list[str]:
        """See ``Platform``."""
        service = self._service
        there = set(
            self._ask(_VARIABLES, project=service.project, environment=service.environment, service=service.service)[
                "variables"
            ]
        )
        return [name for name in names if name not in there]


def _deployment(node: dict[str, Any]) -> _Deployment:
    created = datetime.fromisoformat(node["createdAt"])
    moved = node["statusUpdatedAt"]
    return _Deployment(
        node["id"],
        node["status"],
        created,
        datetime.fromisoformat(moved) if moved else created,
        node["snapshotId"] or node["id"],
        node["canRollback"],
        node["deploymentStopped"],
        tuple(replica["status"] for replica in node["instances"]),
    )


def _current(history: list[_Deployment]) -> _Deployment:
    """What serves; when nothing does, what was tried last."""
    return next((one for one in history if one.status in _SERVE and one.state is not State.STOPPED), history[0])


def _groups(history: list[_Deployment]) -> list[list[_Deployment]]:
    """Deployments of the same snapshot, oldest first."""
    groups: dict[str, list[_Deployment]] = {}
    for one in reversed(history):
        groups.setdefault(one.snapshot, []).append(one)
    return list(groups.values())


def _releases(history: list[_Deployment]) -> list[Release]:
    current = _current(history)
    serves: list[Release] = []
    others: list[tuple[datetime, Release]] = []
    for group in _groups(history):
        served = next((one.created for one in reversed(group) if one.status in _SERVED), None)
        if current in group:
            serves.append(Release(group[0].id, served))
        elif served and any(one.can_rollback for one in group):
            others.append((served, Release(group[0].id, served)))
    others.sort(key=lambda each: each[0], reverse=True)
    return serves + [release for _, release in others]
