"""Fly.io, by the Machines API; its releases by GraphQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from ops.clouds.api import Api, ApiError
from ops.errors import PlatformUnreachable, ReleaseMissing, ServiceError, ServiceMissing
from ops.platforms.base import Instance, Release, State, Status
from ops.platforms.cloud import CloudPlatform
from ops.platforms.graphql import asked
from ops.services import Fly

PAUSE = 0.5
"""Seconds between two looks at a machine."""
_NONCE = "fly-machine-lease-nonce"
_LONGEST = 50
"""Seconds that one request waits for a state: fewer than an answer may take."""
_STATES = {
    "started": State.RUNNING,
    "stopping": State.STOPPED,
    "stopped": State.STOPPED,
    "suspending": State.STOPPED,
    "suspended": State.STOPPED,
    "failed": State.FAILED,
    "launch_failed": State.FAILED,
}
_PASSING = ("fly_app_release_command", "fly_app_test_machine_command", "fly_app_console")
"""Process groups of machines that come and go beside the service."""
_RELEASES = """query Releases($app: String!) {
  app(name: $app) { releases: releasesUnprocessed(first: 100) { nodes { status stable imageRef createdAt } } }
}"""
_DEFINITION = """query Definition($app: String!) {
  app(name: $app) { current: currentReleaseUnprocessed { configDefinition } }
}"""
_CREATE = "mutation Create($input: CreateReleaseInput!) { createRelease(input: $input) { release { id version } } }"
_UPDATE = "mutation Update($input: UpdateReleaseInput!) { updateRelease(input: $input) { release { id } } }"


class FlyPlatform(CloudPlatform):
    """An app on Fly.io.

    Going back is what ``fly deploy --image`` does: a new release of an old image, machine by machine under leases.

    Args:
        service: its description.
    """

    cloud = "Fly"
    page = 50  # of what Fly keeps for a short while, it tells the last lines, and not how many those are

    def __init__(self, service: Fly) -> None:
        self._service = service
        self._api = Api("Fly", f"{service.api}/apps/{service.app}", service.token)
        self._web = Api("Fly", service.web, service.token)

    def status(self) -> Status:
        """See ``Platform``."""
        machines = self._machines()
        served = self._served()
        current = _serving(machines, served)
        # A standby is stopped until the machine it stands by for is lost.
        instances = tuple(_instance(machine) for machine in machines if not _config(machine).get("standbys"))
        return Status(instances, current, served.get(current) if current else None)

    def _machines(self) -> list[dict[str, Any]]:
        found = self._api.ask("GET", "machines")
        if not isinstance(found, list):
            raise PlatformUnreachable(f"Fly answered without machines at {self._service.api}", "Is that its API?")
        lasting = (
            machine
            for machine in found
            if machine["state"] not in ("destroying", "destroyed")
            and _metadata(machine).get("fly_process_group") not in _PASSING
        )
        return sorted(lasting, key=lambda machine: str(machine["id"]))

    def _served(self) -> dict[str, datetime]:
        """When each image last began to serve, newest first."""
        nodes = self._app(_RELEASES)["releases"]["nodes"]
        found: dict[str, datetime] = {}
        for node in nodes:
            if node["imageRef"] and (node["stable"] or node["status"] in ("complete", "succeeded")):
                image, served = _image(node["imageRef"]), datetime.fromisoformat(node["createdAt"])
                found[image] = max(served, found.get(image, served))
        return dict(sorted(found.items(), key=lambda each: each[1], reverse=True))

    def _app(self, query: str) -> dict[str, Any]:
        app = self._ask(query, app=self._service.app)["app"]
        if not isinstance(app, dict):
            raise ServiceMissing(f"Fly has no app {self._service.app}", "Look at app= in the inventory")
        return app

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        return asked(self._web, "graphql", self._service.token, query, **variables)

    def releases(self) -> list[Release]:
        """See ``Platform``."""
        served = self._served()
        current = _serving(self._machines(), served)
        rest = [Release(image, time) for image, time in served.items() if image != current]
        return [Release(current, served.get(current)), *rest] if current else rest

    def restart(self, instance: str) -> None:
        """See ``Platform``."""
        before = self._machine(instance)
        runs = _state(before) in (State.RUNNING, State.STARTING)
        with self._leased(instance, self._service.within) as lease:
            self._api.ask("POST", f"machines/{instance}/{'restart' if runs else 'start'}", headers=lease)
        # Until then Fly shows the process that is about to go as one that runs.
        deadline = time.monotonic() + self._service.within
        while time.monotonic() < deadline:
            now = self._machine(instance)
            if _began(now) != _began(before) or _state(now) is not _state(before):
                return
            time.sleep(PAUSE)
        raise ServiceError(
            f"Fly has not restarted {instance} after {self._service.within:g} s",
            f"Look at fly machine status {instance}",
        )

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        if _state(self._machine(instance)) not in (State.RUNNING, State.STARTING):
            with self._leased(instance, self._service.within) as lease:
                self._api.ask("POST", f"machines/{instance}/start", headers=lease)

    def stop(self, instance: str) -> None:
        """See ``Platform``."""
        machine = self._machine(instance)
        if _state(machine) in (State.RUNNING, State.STARTING):
            with self._leased(instance, self._service.within) as lease:
                self._api.ask("POST", f"machines/{instance}/stop", json={}, headers=lease)
                self._wait(machine, "stopped")

    def _machine(self, id: str) -> dict[str, Any]:
        return dict(self._api.ask("GET", f"machines/{id}"))

    def activate(self, release: str) -> bool:
        """See ``Platform``."""
        served = self._served()
        wanted = _image(release)
        if wanted not in served:
            raise ReleaseMissing.among(f"{self._service.app} on Fly", release, list(served))
        machines = self._machines()
        if not machines:
            raise ServiceError(f"{self._service.app} has no machine on Fly", "Deploy it with fly deploy")
        if all(_runs(machine) == wanted for machine in machines):
            return False
        with ExitStack() as held:
            long_enough = self._service.within * len(machines)
            leases = {
                machine["id"]: held.enter_context(self._leased(machine["id"], long_enough)) for machine in machines
            }
            # Somebody else may have changed them before they were ours.
            machines = [self._machine(id) for id in leases]
            if all(_runs(machine) == wanted for machine in machines):
                return False
            unknown = next((machine["id"] for machine in machines if not machine.get("config")), None)
            if unknown:
                raise ServiceError(f"{unknown} is on a host that Fly cannot reach", "Try again when it can")
            self._replace(machines, wanted, leases)
        return True

    def _replace(self, machines: list[dict[str, Any]], image: str, leases: dict[str, dict[str, str]]) -> None:
        record = self._recorded(image)
        try:
            for machine in machines:
                self._update(machine, image, record, leases[machine["id"]])
        except ServiceError:
            with suppress(ServiceError):
                self._ask(_UPDATE, input={"releaseId": record["id"], "status": "failed"})
            raise
        self._ask(_UPDATE, input={"releaseId": record["id"], "status": "complete"})

    def _recorded(self, image: str) -> dict[str, Any]:
        """A release of its own for what is to be done, so that ``fly releases`` tells of it as well."""
        current = self._app(_DEFINITION)["current"] or {}
        wanted = {
            "appId": self._service.app,
            "image": image,
            "platformVersion": "machines",
            "strategy": "ROLLING",
            "definition": current.get("configDefinition") or {},
        }
        return dict(self._ask(_CREATE, input=wanted)["createRelease"]["release"])

    def _update(self, machine: dict[str, Any], image: str, record: dict[str, Any], lease: dict[str, str]) -> None:
        metadata = {
            **_metadata(machine),
            "fly_release_id": record["id"],
            "fly_release_version": str(record["version"]),
        }
        runs = _state(machine) in (State.RUNNING, State.STARTING)
        body = {
            "config": {**machine["config"], "image": image, "metadata": metadata},
            "current_version": machine["instance_id"],
            # What is stopped stays so: Fly's proxy starts it when it is needed.
            "skip_launch": not runs,
        }
        try:
            updated = self._api.ask("POST", f"machines/{machine['id']}", json=body, headers=lease)
        except ApiError as error:
            if error.code not in (409, 412):
                raise
            raise ServiceError(
                f"{machine['id']} was changed by somebody else meanwhile: {error.problem}",
                "Look at the status, then activate the release again",
            ) from None
        if runs:
            self._wait(updated, "started")

    def _wait(self, machine: dict[str, Any], state: str) -> None:
        """Wait until one version of a machine is in a state."""
        deadline = time.monotonic() + self._service.within
        while True:
            left = int(min(max(deadline - time.monotonic(), 1), _LONGEST))
            asked_for = {"state": state, "instance_id": str(machine["instance_id"]), "timeout": str(left)}
            try:
                self._api.ask("GET", f"machines/{machine['id']}/wait", params=asked_for)
                return
            except ApiError as error:
                if error.code != 408:
                    raise
                if time.monotonic() >= deadline:
                    raise ServiceError(
                        f"{machine['id']} is not {state} after {self._service.within:g} s",
                        "Look at the log and the status; write a longer within= in the inventory if it is slow",
                    ) from None

    @contextmanager
    def _leased(self, id: str, seconds: float) -> Iterator[dict[str, str]]:
        """Keep everybody else from changing a machine; the header that lets us."""
        try:
            answer = self._api.ask("POST", f"machines/{id}/lease", params={"ttl": str(int(seconds) + 60)})
        except ApiError as error:
            if error.code not in (409, 423):
                raise
            raise ServiceError(
                f"{id} is held by somebody else: {error.problem}", "Wait until they are done, then try again"
            ) from None
        header = {_NONCE: str(answer["data"]["nonce"])}
        try:
            yield header
        finally:
            with suppress(ServiceError):  # it ends by itself
                self._api.ask("DELETE", f"machines/{id}/lease", headers=header)

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``."""
        found = self._web.ask("GET", f"api/v1/apps/{self._service.app}/logs", params={"next_token": ""})["data"]
        entries = [entry["attributes"] for entry in found]
        return [
            f"{entry['timestamp']} {entry['instance']} {entry['message']}"
            for entry in entries
            if (since is None or datetime.fromisoformat(entry["timestamp"]) >= since)
            and instance in (None, entry["instance"])
        ][-lines:]

    def missing(self, names: list[str]) -> list[str]:
        """See ``Platform``."""
        there = {secret["name"] for secret in self._api.ask("GET", "secrets")["secrets"]}
        machines = self._machines()
        return [
            name
            for name in names
            if name not in there
            and not (machines and all(name in (_config(machine).get("env") or {}) for machine in machines))
        ]


def _config(machine: dict[str, Any]) -> dict[str, Any]:
    return machine.get("config") or machine.get("incomplete_config") or {}


def _metadata(machine: dict[str, Any]) -> dict[str, Any]:
    return _config(machine).get("metadata") or {}


def _image(reference: str) -> str:
    """An image by its tag alone: Fly says the digest as well in one place and not in another."""
    name, _, _ = reference.partition("@")
    return name if ":" in name.rpartition("/")[2] else reference


def _runs(machine: dict[str, Any]) -> str:
    return _image(str(_config(machine).get("image")))


def _serving(machines: list[dict[str, Any]], served: dict[str, datetime]) -> str | None:
    """What is to serve: what all machines run, and when they differ what was completed last."""
    images = {_runs(machine) for machine in machines}
    if len(images) == 1:
        return images.pop()
    return next(iter(served), None)


def _state(machine: dict[str, Any]) -> State:
    state = _STATES.get(machine["state"], State.STARTING)
    newest: dict[str, Any] = next(iter(machine.get("events") or []), {})
    if machine["state"] == "stopped" and newest.get("type") == "exit":
        left = (newest.get("request") or {}).get("exit_event") or {}
        if left.get("exit_code") and not left.get("requested_stop"):
            return State.FAILED
    return state


def _began(machine: dict[str, Any]) -> datetime | None:
    events: list[dict[str, Any]] = machine.get("events") or []
    newest = next((event["timestamp"] for event in events if event.get("status") == "started"), None)
    return datetime.fromtimestamp(newest / 1000, UTC) if newest else None


def _instance(machine: dict[str, Any]) -> Instance:
    state = _state(machine)
    return Instance(machine["id"], state, _began(machine) if state is State.RUNNING else None, _runs(machine))
