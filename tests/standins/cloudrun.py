"""Google Cloud Run's API v2 and the log of Cloud Logging: one service with its revisions, traffic and operations."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime
from typing import Any

from standins.server import Answer, Request, StandIn, Violation

TOKEN = "ya29.of-the-tests"
PARENT = "projects/tests/locations/us-east1"
SERVICE = f"{PARENT}/services/web"
RELEASES = ("web-00001-one", "web-00002-two", "web-00003-three")
LATEST, PINNED = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
TAKES = 0.1
"""Seconds for a change to be carried out."""
OPTIONS = {"updateMask", "forceNewRevision", "allowMissing", "validateOnly"}
FIELDS = {"template", "traffic", "annotations", "labels", "scaling", "description", "ingress"}
SCALING = {"scalingMode", "minInstanceCount", "maxInstanceCount", "manualInstanceCount"}
TEMPLATE = {
    "revision", "labels", "annotations", "scaling", "vpcAccess", "timeout", "serviceAccount", "containers", "volumes",
    "executionEnvironment", "maxInstanceRequestConcurrency", "sessionAffinity",
}  # fmt: skip
TARGET = {"type", "revision", "percent", "tag"}


class GoogleCloudRun(StandIn):
    """Three revisions, the last of which gets the traffic as the latest."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.page = 100
        self.revisions: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.log = [{"timestamp": f"2026-03-01T00:00:0{n}Z", "textPayload": f"line {n}"} for n in range(8)]
        self.service: dict[str, Any] = {
            "name": SERVICE, "generation": "3", "observedGeneration": "3", "etag": '"3-0"', "reconciling": False,
            "annotations": {"team": "web"}, "scaling": {"maxInstanceCount": 4},
            "traffic": [{"type": LATEST, "percent": 100}],
        }  # fmt: skip
        for number, name in enumerate(RELEASES, start=1):
            template = {"containers": [container(name)], "timeout": "300s"}
            self.made(name, template, f"2026-0{number}-01T00:00:00.123456789Z")
        self.service["latestReadyRevision"] = f"{SERVICE}/revisions/{RELEASES[2]}"
        self.service["trafficStatuses"] = self.service["traffic"]
        self.ready("CONDITION_SUCCEEDED")

    def error(self, said: str) -> Any:
        return {"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}

    def image(self) -> str:
        """What answers a visitor."""
        best = max(self.service["trafficStatuses"], key=lambda target: target.get("percent", 0))
        name = best.get("revision") or self.service["latestReadyRevision"].rpartition("/")[2]
        return self.revisions[name]["containers"][0]["image"]

    def deployed(self, name: str, traffic: bool = True, healthy: bool = True) -> None:
        """Somebody else deploys: at once, with ``gcloud``."""
        self.made(name, {"containers": [container(name)]}, now())
        if healthy:
            self.service["latestReadyRevision"] = f"{SERVICE}/revisions/{name}"
        else:
            self.revisions[name]["conditions"] = [{"type": "Ready", "state": "CONDITION_FAILED"}]
        if not traffic:
            return
        self.service["traffic"] = self.service["trafficStatuses"] = [{"type": LATEST, "percent": 100}]

    def pinned(self, name: str, **more: Any) -> None:
        """Somebody else sends all traffic to one revision."""
        self.service["traffic"] = [{"type": PINNED, "revision": name, "percent": 100, **more}]
        self.service["trafficStatuses"] = copy.deepcopy(self.service["traffic"])

    def made(self, name: str, template: dict[str, Any], at: str) -> None:
        self.service["template"] = copy.deepcopy(template)
        self.service["latestCreatedRevision"] = f"{SERVICE}/revisions/{name}"
        self.revisions[name] = {
            **copy.deepcopy(template), "name": f"{SERVICE}/revisions/{name}", "createTime": at, "service": "web",
            "conditions": [{"type": "Ready", "state": "CONDITION_SUCCEEDED"}],
        }  # fmt: skip

    def ready(self, state: str) -> None:
        self.service["terminalCondition"] = {"type": "Ready", "state": state}

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if request.path == "/v2/entries:list":
            return self.entries(request)
        if request.path == f"/v2/{SERVICE}" and request.method == "PATCH":
            return self.patch(request)
        if request.method != "GET" or request.body is not None:
            raise Violation("no such method", 404)
        if request.path == f"/v2/{SERVICE}":
            return Answer(200, self.service)
        if request.path == f"/v2/{SERVICE}/revisions":
            return self.listed(request)
        if found := re.fullmatch(rf"/v2/{SERVICE}/revisions/([a-z0-9-]+)", request.path):
            return self.found(self.revisions.get(found[1]))
        if found := re.fullmatch(rf"/v2/({PARENT}/operations/[a-z0-9-]+)", request.path):
            return self.found(self.operations.get(found[1]))
        if re.fullmatch(rf"/v2/{PARENT}/services/[a-z0-9-]+(/revisions)?", request.path):
            return self.found(None)
        raise Violation("no such path", 404)

    def found(self, resource: dict[str, Any] | None) -> Answer:
        return Answer(200, resource) if resource else refused(404, "NOT_FOUND", "Resource was not found.")

    def listed(self, request: Request) -> Answer:
        check(set(request.query) <= {"pageSize", "pageToken", "showDeleted"}, "a parameter that is not known")
        newest = sorted(self.revisions.values(), key=lambda each: each["createTime"], reverse=True)
        begin = int(request.query.get("pageToken", "0"))
        end = begin + min(self.page, int(request.query.get("pageSize", "100")))
        more = {"nextPageToken": str(end)} if end < len(newest) else {}
        return Answer(200, {"revisions": newest[begin:end], **more})

    def entries(self, request: Request) -> Answer:
        check(request.method == "POST", "entries:list is asked with POST")
        body = request.body
        check(set(body) <= {"resourceNames", "filter", "orderBy", "pageSize", "pageToken"}, "a field that is not known")
        check(body["resourceNames"] == ["projects/tests"], "another project")
        check(body["orderBy"] == "timestamp desc", "not the newest first")
        check('resource.labels.service_name="web"' in body["filter"], "the filter does not name the service")
        since = re.search(r'timestamp>="([^"]+)"', body["filter"])
        after = datetime.fromisoformat(since[1]) if since else datetime.min.replace(tzinfo=UTC)
        log = [each for each in reversed(self.log) if datetime.fromisoformat(each["timestamp"]) >= after]
        return Answer(200, {"entries": log[: body["pageSize"]]} if log else {})

    def patch(self, request: Request) -> Answer:
        check(set(request.query) <= OPTIONS, "a parameter that is not known")
        mask = set(filter(None, request.query.get("updateMask", "").split(",")))
        body = request.body
        check(bool(mask) and mask <= FIELDS, f"updateMask {mask}")
        check(set(body) == {"name", "etag", *mask} and body["name"] == SERVICE, "the body is not what the mask says")
        self.check_body(body)
        if body["etag"] != self.service["etag"]:
            return refused(409, "ABORTED", "Conflict for resource 'web': version was specified but is not current.")
        generation = int(self.service["generation"]) + 1
        self.service.update(generation=str(generation), etag=f'"{generation}-0"', reconciling=True)
        self.service |= {field: body[field] for field in mask & {"traffic", "annotations", "scaling"}}
        made = None
        if "template" in mask and (
            request.query.get("forceNewRevision") == "true" or body["template"] != self.service["template"]
        ):
            made = f"web-{generation:05d}-new"
            self.made(made, body["template"], now())
        self.ready("CONDITION_RECONCILING")
        name = f"{PARENT}/operations/op-{generation}"
        self.operations[name] = {"name": name, "done": False}
        self.later(TAKES, lambda: self.carried_out(name, generation, made))
        return Answer(200, self.operations[name])

    def check_body(self, body: dict[str, Any]) -> None:
        if "traffic" in body:
            check(all(set(target) <= TARGET for target in body["traffic"]), "a target with a field that is not known")
            check(sum(target.get("percent", 0) for target in body["traffic"]) == 100, "not 100 per cent")
            for target in body["traffic"]:
                check(target["type"] in (LATEST, PINNED), "no such type of target")
                check((target["type"] == LATEST) != ("revision" in target), "a revision goes with its type")
                check(target.get("revision", RELEASES[0]) in self.revisions, "no such revision")
        for name, value in body.get("annotations", {}).items():
            check(isinstance(value, str) and len(value) < 262144, f"annotation {name} is no text")
            check("googleapis.com" not in name and "knative.dev" not in name, f"annotation {name} is Google's")
        check(set(body.get("scaling", {})) <= SCALING, "a field of scaling that is not known")
        if "template" in body:
            check(set(body["template"]) <= TEMPLATE, "a field of the template that is not known")
            check(body["template"].get("revision") not in self.revisions, "a revision of that name is there")
            check(bool(body["template"].get("containers")), "a template without containers")

    def carried_out(self, name: str, generation: int, made: str | None) -> None:
        operation = self.operations[name]
        operation["done"] = True
        if made and self.broken:
            said = f"Revision '{made}' is not ready and cannot serve traffic. The container failed to start."
            operation["error"] = {"code": 9, "message": said}
            self.revisions[made]["conditions"] = [{"type": "Ready", "state": "CONDITION_FAILED", "message": said}]
            self.log.append({"timestamp": now(), "textPayload": "broken, as told"})
            self.service["reconciling"] = False
            self.ready("CONDITION_FAILED")
            return
        operation["response"] = {"name": SERVICE}
        if made:
            self.service["latestReadyRevision"] = f"{SERVICE}/revisions/{made}"
        self.service["trafficStatuses"] = copy.deepcopy(self.service["traffic"])
        if generation == int(self.service["generation"]):
            self.service.update(reconciling=False, observedGeneration=str(generation))
            self.ready("CONDITION_SUCCEEDED")


def container(name: str) -> dict[str, Any]:
    secret = {"secretKeyRef": {"secret": "present", "version": "latest"}}
    return {"image": f"us-docker.pkg.dev/tests/web/{name}", "env": [{"name": "PRESENT", "valueSource": secret}]}


def check(holds: bool, said: str) -> None:
    if not holds:
        raise Violation(said)


def refused(status: int, name: str, said: str) -> Answer:
    return Answer(status, {"error": {"code": status, "message": said, "status": name}})


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
