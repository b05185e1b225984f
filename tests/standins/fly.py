"""Fly.io: the Machines API below ``/v1``, and its other API beside it, as far as they are in use."""

from __future__ import annotations

import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import graphql
from standins.graph import Refusal, executed
from standins.server import Answer, Request, StandIn, Violation

SCHEMA = graphql.build_schema("""
scalar ISO8601DateTime
scalar JSON
enum DeploymentStrategy { BLUEGREEN CANARY IMMEDIATE ROLLING ROLLING_ONE SIMPLE }
type ReleaseUnprocessed {
  id: ID! version: Int! status: String! stable: Boolean! imageRef: String createdAt: ISO8601DateTime!
  configDefinition: JSON
}
type ReleaseUnprocessedConnection { nodes: [ReleaseUnprocessed] }
type App {
  id: ID! name: String! currentReleaseUnprocessed: ReleaseUnprocessed
  releasesUnprocessed(after: String before: String first: Int last: Int): ReleaseUnprocessedConnection!
}
type Query { app(name: String internalNumericId: Int): App }
input CreateReleaseInput {
  appId: ID! clientMutationId: String definition: JSON! image: String! platformVersion: String!
  strategy: DeploymentStrategy!
}
input UpdateReleaseInput { clientMutationId: String metadata: JSON releaseId: ID! status: String! }
type Release { id: ID! version: Int! }
type CreateReleasePayload { app: App! release: Release! }
type UpdateReleasePayload { release: Release! }
type Mutation {
  createRelease(input: CreateReleaseInput!): CreateReleasePayload
  updateRelease(input: UpdateReleaseInput!): UpdateReleasePayload
}
""")
TAKES = 0.1
"""Seconds for a machine to start, stop or be replaced."""
APP = "web-of-tests"
NONCE = "fly-machine-lease-nonce"
_BODIES = {
    "": {"config", "current_version", "skip_launch", "name", "region", "lease_ttl", "skip_service_registration"},
    "stop": {"signal", "timeout"},
    "lease": {"ttl", "description"},
}
_QUERIES = {
    "wait": {"state", "instance_id", "timeout"},
    "lease": {"ttl"},
    "restart": {"timeout", "signal", "force_stop"},
}
_VERBS = {
    "": ("GET", "POST"),
    "lease": ("GET", "POST", "DELETE"),
    "wait": ("GET",),
    "start": ("POST",),
    "stop": ("POST",),
    "restart": ("POST",),
}


def image(release: str) -> str:
    return f"registry.fly.io/{APP}:deployment-{release}"


class FlyApi(StandIn):
    """One app with two machines and the releases of a stage."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token
        self.breaks = False
        self.secrets = ["PRESENT"]
        self.lines: list[tuple[str, str, str]] = []
        self.leases: dict[str, tuple[str, float, str]] = {}
        began = datetime.now(UTC) - timedelta(days=30)
        self.releases = [
            {
                "id": f"release-{version}",
                "version": version,
                "status": "complete",
                "stable": True,
                "imageRef": image(name),
                "createdAt": (began + timedelta(days=version)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "configDefinition": {"app": APP},
            }
            for version, name in enumerate(("one", "two", "three"), start=1)
        ]
        self.machines: dict[str, dict[str, Any]] = {}
        for id in ("148e21ea7d9589", "5683d474b77208"):
            self.machines[id] = {
                "id": id,
                "name": f"quiet-{id[:4]}",
                "state": "created",
                "region": "fra",
                "instance_id": _version(),
                # As some clients leave it: with the digest that the release does not have.
                "config": {
                    "image": f"{image('three')}@sha256:{'3' * 64}",
                    "env": {"PRIMARY_REGION": "fra"},
                    "metadata": {"fly_process_group": "app", "fly_platform_version": "v2"},
                    "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
                },
                "events": [],
                "host_status": "ok",
            }
            self._started(self.machines[id])

    def error(self, said: str) -> Any:
        return {"error": said}

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return Answer(401, {"error": "Authenticate: token validation error"})
        if request.path == "/graphql":
            return executed(SCHEMA, self, request)
        if found := re.fullmatch(r"/api/v1/apps/([^/]+)/logs", request.path):
            return self._logs(found[1], request)
        found = re.fullmatch(r"/v1/apps/([^/]+)/(machines|secrets)(?:/([^/]+)(?:/([a-z]+))?)?", request.path)
        if not found:
            raise Violation("no such path", 404)
        app, kind, id, verb = found.groups()
        if app != APP:
            return Answer(404, {"error": f"App {app!r} not found"})
        if id is None:
            if request.method != "GET" or request.query or request.body:
                raise Violation(f"{kind} are only listed here", 405)
            if kind == "secrets":
                return Answer(200, {"secrets": [{"name": name, "digest": "5d41402abc4b"} for name in self.secrets]})
            return Answer(200, list(self.machines.values()))
        return self._machine(request, id, verb or "")

    def _machine(self, request: Request, id: str, verb: str) -> Answer:
        self._checked(request, verb)
        machine = self.machines.get(id)
        if machine is None:
            return Answer(404, {"error": "machine not found"})
        if request.method == "GET":
            return self._waited(machine, request.query) if verb == "wait" else Answer(200, machine)
        held = self.leases.get(id)
        if held and held[1] > time.time() and request.headers.get(NONCE) != held[0]:
            ends = datetime.fromtimestamp(held[1], UTC).isoformat()
            return Answer(409, {"error": f"machine ID {id} lease currently held by {held[2]}, expires at {ends}"})
        if request.headers.get(NONCE) and not held:
            return Answer(409, {"error": "lease not found"})
        return getattr(self, f"_{verb or 'update'}")(request, machine)

    def _checked(self, request: Request, verb: str) -> None:
        if verb not in _VERBS or request.method not in _VERBS[verb]:
            raise Violation(f"no {request.method} of {verb!r}", 404)
        if unknown := set(request.query) - _QUERIES.get(verb, set()):
            raise Violation(f"unknown in the query: {unknown}")
        if unknown := set(request.body or {}) - _BODIES.get(verb, set()):
            raise Violation(f"unknown in the body: {unknown}")

    def _waited(self, machine: dict[str, Any], query: dict[str, str]) -> Answer:
        seconds = int(query.get("timeout", "60"))
        if not 1 <= seconds <= 60:
            raise Violation("timeout is from 1 to 60")
        if query.get("state", "started") not in ("started", "stopped", "suspended", "destroyed"):
            raise Violation("no such state to wait for")
        if query.get("state") == "stopped" and "instance_id" not in query:
            raise Violation("instance_id is required when state is stopped")
        if query.get("instance_id", machine["instance_id"]) != machine["instance_id"]:
            return Answer(400, {"error": "machine has another version"})
        deadline = time.monotonic() + seconds
        while machine["state"] != query.get("state", "started"):
            if time.monotonic() > deadline:
                return Answer(408, {"error": "deadline_exceeded: machine did not reach the state in time"})
            self.lock.wait(0.02)
            self.catch_up()
        return Answer(200, {"ok": True})

    def _lease(self, request: Request, machine: dict[str, Any]) -> Answer:
        if request.method == "DELETE":
            if not request.headers.get(NONCE):
                raise Violation("a lease is released with its nonce")
            del self.leases[machine["id"]]
            return Answer(200, {"ok": True})
        seconds = int(request.query.get("ttl") or (request.body or {}).get("ttl") or 30)
        return Answer(201, {"status": "success", "data": self.hold(machine["id"], seconds, "ops@tokens.fly.io")})

    def hold(self, id: str, seconds: float, owner: str) -> dict[str, Any]:
        """Give somebody the lease of a machine."""
        nonce = uuid.uuid4().hex
        self.leases[id] = (nonce, time.time() + seconds, owner)
        return {"nonce": nonce, "expires_at": int(time.time() + seconds), "owner": owner, "version": ""}

    def _update(self, request: Request, machine: dict[str, Any]) -> Answer:
        body = request.body or {}
        config = body.get("config")
        if not isinstance(config, dict) or not config.get("image") or "guest" not in config:
            raise Violation("an update replaces the whole config, so it needs all of it")
        if body.get("current_version", machine["instance_id"]) != machine["instance_id"]:
            return Answer(412, {"error": "failed_precondition: current_version is not the machine's version"})
        machine.update(config=config, instance_id=_version())
        if not body.get("skip_launch"):
            machine["state"] = "replacing"
            version = machine["instance_id"]
            self.later(TAKES, lambda: self._started(machine, version))
        return Answer(200, machine)

    def _start(self, request: Request, machine: dict[str, Any]) -> Answer:
        if machine["state"] not in ("stopped", "created", "suspended"):
            return Answer(412, {"error": f"failed_precondition: unable to start machine from {machine['state']}"})
        before, machine["state"] = machine["state"], "starting"
        self.later(TAKES, lambda: self._started(machine))
        return Answer(200, {"previous_state": before})

    def _restart(self, request: Request, machine: dict[str, Any]) -> Answer:
        # It is told and done a little later: what is seen at once is the old process.
        self.later(TAKES, lambda: self._exited(machine, 0, requested=True))
        self.later(TAKES * 2, lambda: self._started(machine))
        return Answer(200, {"ok": True})

    def _stop(self, request: Request, machine: dict[str, Any]) -> Answer:
        machine["state"] = "stopping"
        self.later(TAKES, lambda: self._exited(machine, 0, requested=True))
        return Answer(200, {"ok": True})

    def _started(self, machine: dict[str, Any], version: str | None = None) -> None:
        if version and version != machine["instance_id"]:
            return
        machine["state"] = "started"
        machine["running"] = machine["config"]["image"]
        self._event(machine, "start", "started", {})
        self.lines.append((_now(), machine["id"], f"{machine['running']} listens"))
        if self.breaks:
            self.later(0.3, lambda: self.crash(machine))

    def crash(self, machine: dict[str, Any]) -> None:
        """Let it end by itself, for good."""
        self._exited(machine, 1, requested=False)

    def _exited(self, machine: dict[str, Any], code: int, requested: bool) -> None:
        machine["state"] = "stopped"
        self._event(machine, "exit", "stopped", {"exit_event": {"exit_code": code, "requested_stop": requested}})
        self.lines.append((_now(), machine["id"], f"Main child exited normally with code: {code}"))

    def _event(self, machine: dict[str, Any], kind: str, status: str, request: dict[str, Any]) -> None:
        event = {"type": kind, "status": status, "source": "flyd", "timestamp": int(time.time() * 1000)}
        machine["events"].insert(0, {**event, "request": request})

    def _logs(self, app: str, request: Request) -> Answer:
        if request.method != "GET" or set(request.query) - {"next_token", "instance", "region"}:
            raise Violation("the log is asked for by next_token, instance and region")
        if app != APP:
            return Answer(404, {"error": "not found"})
        data = [
            {"id": str(number), "attributes": {"timestamp": when, "instance": id, "message": line, "level": "info"}}
            for number, (when, id, line) in enumerate(self.lines[-100:])
        ]
        return Answer(200, {"data": data, "meta": {"next_token": "1"}})

    def app(self, info: Any, name: str) -> dict[str, Any]:
        if name != APP:
            raise Refusal(f'Could not find App "{name}"', "NOT_FOUND")
        newest = list(reversed(self.releases))
        return {
            "id": APP,
            "name": APP,
            "currentReleaseUnprocessed": newest[0],
            "releasesUnprocessed": lambda info, first=10: {"nodes": newest[:first]},
        }

    def createRelease(self, info: Any, input: dict[str, Any]) -> dict[str, Any]:
        if input["appId"] != APP:
            raise Refusal(f'Could not find App "{input["appId"]}"', "NOT_FOUND")
        if input["platformVersion"] != "machines" or not input["definition"]:
            raise Violation("a release of machines has a definition")
        made = {
            "id": f"release-{len(self.releases) + 1}",
            "version": len(self.releases) + 1,
            "status": "pending",
            "stable": False,
            "imageRef": input["image"],
            "createdAt": _now(),
            "configDefinition": input["definition"],
        }
        self.releases.append(made)
        return {"app": self.app(info, APP), "release": made}

    def updateRelease(self, info: Any, input: dict[str, Any]) -> dict[str, Any]:
        release = next((one for one in self.releases if one["id"] == input["releaseId"]), None)
        if release is None:
            raise Refusal("Could not find Release", "NOT_FOUND")
        if input["status"] not in ("pending", "running", "complete", "failed", "interrupted"):
            raise Violation(f"no status {input['status']}")
        release.update(status=input["status"], stable=input["status"] == "complete")
        return {"release": release}


def _version() -> str:
    return f"01{uuid.uuid4().hex[:24].upper()}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
