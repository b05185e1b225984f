"""Cloudflare's API: one account with one script, its versions and deployments, its log, and its queues."""

from __future__ import annotations

import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from standins.server import Answer, Request, StandIn, Violation

TOKEN = "of-the-tests"
ACCOUNT = "0123456789abcdef0123456789abcdef"
BASE = "/client/v4"
RELEASES = tuple(f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class CloudflareApi(StandIn):
    """The script ``web`` with three versions, each of which was deployed; the queues ``jobs`` and ``jobs-2``.

    Beside the API is the network itself: ``/edge`` is answered by what serves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.dead = False
        self.page = 100
        self.changed_secrets: dict[str, str] = {}
        """Of a version: the secrets that are others now."""
        self.versions: dict[str, dict[str, Any]] = {}
        self.deployments: list[dict[str, Any]] = []
        for number, name in enumerate(RELEASES, start=1):
            self.uploaded(name, f"2026-0{number}-01T00:00:00.000000Z")
            self.deploy([{"version_id": name, "percentage": 100}], f"2026-0{number}-01T00:00:01.000000Z")
        self.queues = [queue("jobs-2"), queue("jobs")]
        self.messages: dict[str, list[int]] = {each["queue_id"]: [] for each in self.queues}
        self.log = [{"timestamp": now_ms() - 1000 * n, "$metadata": {"message": f"line {n}"}} for n in range(8)]

    def error(self, said: str) -> Any:
        return envelope(None, [{"code": 7003, "message": said}])

    def uploaded(self, name: str, at: str) -> None:
        """A version is uploaded, and not deployed."""
        self.versions[name] = {
            "id": name, "number": len(self.versions) + 1,
            "metadata": {"created_on": at, "modified_on": at, "source": "wrangler", "author_email": "a@b.example"},
            "annotations": {"workers/triggered_by": "version_upload"},
            "resources": {
                "bindings": [{"type": "secret_text", "name": "PRESENT"}, {"type": "kv_namespace", "name": "KV"}],
                "script": {"etag": "e", "handlers": ["fetch"], "last_deployed_from": "wrangler"},
                "script_runtime": {"usage_model": "standard", "compatibility_date": "2026-01-01"},
            },
        }  # fmt: skip

    def deploy(self, versions: list[dict[str, Any]], at: str, message: str = "") -> dict[str, Any]:
        deployment = {
            "id": str(uuid.uuid4()), "created_on": at, "source": "api", "strategy": "percentage",
            "author_email": "a@b.example", "versions": versions, "annotations": {"workers/message": message},
        }  # fmt: skip
        self.deployments.insert(0, deployment)
        if self.broken:
            self.later(0.3, self.dies)
        return deployment

    def dies(self) -> None:
        self.dead = True

    def answer(self, request: Request) -> Answer:
        if request.path == "/edge":
            return Answer(500 if self.dead else 200, {"release": self.deployments[0]["versions"][0]["version_id"]})
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return refused(403, 10000, "Authentication error")
        found = re.fullmatch(rf"{BASE}/accounts/{ACCOUNT}/(.*)", request.path)
        if not found:
            raise Violation("no such path", 404)
        for method, path, answer in (
            ("GET", r"workers/scripts/web/deployments", self.list_deployments),
            ("POST", r"workers/scripts/web/deployments", self.make_deployment),
            ("GET", r"workers/scripts/web/versions", self.list_versions),
            ("GET", rf"workers/scripts/web/versions/({UUID})", self.one_version),
            ("POST", r"workers/observability/telemetry/query", self.query),
            ("GET", r"queues", self.list_queues),
            ("PATCH", r"queues/([0-9a-f]{32})", self.edit_queue),
            ("GET", r"queues/([0-9a-f]{32})/metrics", self.metrics),
            ("POST", r"queues/([0-9a-f]{32})/purge", self.purge),
        ):
            if request.method == method and (parts := re.fullmatch(path, found[1])):
                return answer(request, *parts.groups())
        if re.fullmatch(r"workers/scripts/[a-z0-9-]+(/deployments|/versions)?", found[1]):
            return refused(404, 10007, "This Worker does not exist on your account.")
        raise Violation("no such path", 404)

    def list_deployments(self, request: Request) -> Answer:
        check(not request.query, "a parameter that is not known")
        return Answer(200, envelope({"deployments": self.deployments[:10]}))

    def make_deployment(self, request: Request) -> Answer:
        body = request.body
        check(set(request.query) <= {"force"}, "a parameter that is not known")
        check(set(body) <= {"strategy", "versions", "annotations"}, "a field that is not known")
        check(body["strategy"] == "percentage", "no such strategy")
        check(set(body.get("annotations", {})) <= {"workers/message"}, "an annotation that cannot be set")
        check(1 <= len(body["versions"]) <= 2, "one version or two")
        check(all(set(each) == {"version_id", "percentage"} for each in body["versions"]), "a version's fields")
        check(sum(each["percentage"] for each in body["versions"]) == 100, "not 100 per cent")
        for each in body["versions"]:
            if each["version_id"] not in self.versions:
                return refused(404, 10222, "Version not found.")
            if each["version_id"] in self.changed_secrets and request.query.get("force") != "true":
                said = "The following secrets have changed: " + self.changed_secrets[each["version_id"]]
                return refused(400, 10220, said)
        message = body.get("annotations", {}).get("workers/message", "")
        return Answer(200, envelope(self.deploy(body["versions"], now(), message)))

    def list_versions(self, request: Request) -> Answer:
        check(request.query == {"deployable": "true"}, "not the deployable versions")
        newest = sorted(self.versions.values(), key=lambda each: each["number"], reverse=True)
        return Answer(200, envelope({"items": [without(each, "resources") for each in newest]}))

    def one_version(self, request: Request, name: str) -> Answer:
        if name not in self.versions:
            return refused(404, 10222, "Version not found.")
        return Answer(200, envelope(self.versions[name]))

    def query(self, request: Request) -> Answer:
        body = request.body
        check({"queryId", "timeframe"} <= set(body), "queryId and timeframe are required")
        check(set(body) <= {"queryId", "timeframe", "view", "limit", "parameters"}, "a field that is not known")
        check(body["view"] == "events" and set(body["timeframe"]) == {"from", "to"}, "not events of a time")
        (wanted,) = body["parameters"]["filters"]
        check(wanted == {"key": "$metadata.service", "operation": "eq", "type": "string", "value": "web"}, "no filter")
        times = body["timeframe"]
        check(times["to"] - times["from"] <= 7 * 86400 * 1000, "more than seven days")
        log = [each for each in self.log if times["from"] <= each["timestamp"] <= times["to"]][: body["limit"]]
        return Answer(200, envelope({"run": {}, "statistics": {}, "events": {"events": log, "count": len(log)}}))

    def list_queues(self, request: Request) -> Answer:
        check(set(request.query) <= {"name", "page", "per_page"}, "a parameter that is not known")
        name, page = request.query.get("name", ""), int(request.query.get("page", "1"))
        found = [each for each in self.queues if name in each["queue_name"]]
        return Answer(200, envelope(found[(page - 1) * self.page : page * self.page]))

    def edit_queue(self, request: Request, key: str) -> Answer:
        check(set(request.body) == {"settings"}, "a field that is not known")
        check(
            set(request.body["settings"]) <= {"delivery_delay", "delivery_paused", "message_retention_period"},
            "settings",
        )
        self.queue(key)["settings"].update(request.body["settings"])
        return Answer(200, envelope(self.queue(key)))

    def metrics(self, request: Request, key: str) -> Answer:
        waiting = self.messages[self.queue(key)["queue_id"]]
        oldest = min(waiting, default=0)
        size = 10 * len(waiting)
        found = {"backlog_count": len(waiting), "backlog_bytes": size, "oldest_message_timestamp_ms": oldest}
        return Answer(200, envelope(found))

    def purge(self, request: Request, key: str) -> Answer:
        check(request.body == {"delete_messages_permanently": True}, "it is not confirmed")
        self.messages[self.queue(key)["queue_id"]].clear()
        return Answer(200, envelope(self.queue(key)))

    def queue(self, key: str) -> dict[str, Any]:
        return next(each for each in self.queues if each["queue_id"] == key)


def queue(name: str) -> dict[str, Any]:
    settings = {"delivery_delay": 0, "delivery_paused": False, "message_retention_period": 345600}
    return {"queue_id": uuid.uuid4().hex, "queue_name": name, "settings": settings}


def envelope(result: Any, errors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"success": not errors, "errors": errors or [], "messages": [], "result": result}


def refused(status: int, code: int, said: str) -> Answer:
    return Answer(status, envelope(None, [{"code": code, "message": said}]))


def check(holds: bool, said: str) -> None:
    if not holds:
        raise Violation(said)


def without(whole: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name != field}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now_ms() -> int:
    return int(time.time() * 1000)
