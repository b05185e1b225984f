"""What each path of Neon's API does with the project behind the stand-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from standins.neon_operations import Operations
from standins.neon_project import Refused, State, error, new_id
from standins.neon_records import Branch, Endpoint, seconds, text
from standins.server import Answer, Request, Violation


class Paths:
    """Those of one project.

    Args:
        project: its id.
        state: what there is.
        operations: what goes on.
        uri: what to connect to, by the endpoint and whether past the pooler.
        known: the names of the database and of its role.
    """

    def __init__(self, project: str, state: State, operations: Operations,
                 uri: Callable[[Endpoint, bool], str], known: tuple[str, str]) -> None:  # fmt: skip
        self._project, self._state, self._operations, self._uri, self._known = project, state, operations, uri, known
        self._snapshots: list[dict[str, Any]] = []
        self.repeats_cursor = False
        """Whether the last page has the cursor that asked for it, as Neon's may."""

    def answer(self, request: Request) -> Answer:
        """What Neon would answer; the request is known to be in its contract."""
        self._state.expire()
        place = f"/api/v2/projects/{self._project}"
        if not request.path.startswith(f"{place}/"):
            return Answer(404, error("project not found"))
        for method, path, handler in self._routes():
            found = re.fullmatch(path, request.path.removeprefix(place))
            if found and method == request.method:
                try:
                    return handler(request, *found.groups())
                except Refused as refused:
                    return refused.answer
                finally:
                    self._operations.answered()
        raise Violation("the stand-in does not know this", 404)

    def _routes(self) -> Iterable[tuple[str, str, Callable[..., Answer]]]:
        id = "([a-z0-9-]+)"
        return (
            ("GET", "/branches", self._list),
            ("POST", "/branches", self._make),
            ("GET", f"/branches/{id}", self._get),
            ("PATCH", f"/branches/{id}", self._change),
            ("DELETE", f"/branches/{id}", self._delete),
            ("POST", f"/branches/{id}/restore", self._restore),
            ("POST", f"/branches/{id}/snapshot", self._snapshot),
            ("GET", f"/branches/{id}/endpoints", self._list_endpoints),
            ("GET", "/endpoints", self._list_endpoints),
            ("POST", "/endpoints", self._equip),
            ("POST", f"/endpoints/{id}/(start|suspend)", self._turn),
            ("GET", "/connection_uri", self._connection_uri),
            ("GET", "/snapshots", self._list_snapshots),
            ("GET", f"/operations/{id}", self._look),
        )

    def _list(self, request: Request) -> Answer:
        part = request.query.get("search", "")
        found = [each for each in self._state.branches.values() if part in each.name or part in each.id]
        found.sort(key=lambda each: each.created, reverse=True)
        start = int(request.query.get("cursor", "0"))
        end = start + int(request.query.get("limit", "10000"))
        page = {"sort_by": "updated_at", "sort_order": "desc"}
        if end < len(found):
            page["next"] = str(end)
        elif self.repeats_cursor:
            page["next"] = str(start)
        told = [each.told(self._project) for each in found[start:end]]
        return Answer(200, {"branches": told, "annotations": {}, "pagination": page})

    def _get(self, request: Request, id: str) -> Answer:
        branch = self._state.known(id)
        note = {"object": {"type": "console/branch", "id": branch.id}, "value": {}}
        return Answer(200, {"branch": branch.told(self._project), "annotation": note})

    def _make(self, request: Request) -> Answer:
        body = request.body or {}
        asked, kinds = body.get("branch", {}), [each["type"] for each in body.get("endpoints", ())]
        if kinds not in ([], ["read_write"]):
            raise Violation("a branch has one read_write endpoint here, or none")
        state, parent = self._state, self._unlocked(asked.get("parent_id"))
        if parent.expires:
            raise Refused(422, "a branch with an expiration time cannot have child branches")
        branch = Branch(
            new_id("br"), asked.get("name") or new_id("br"), state.storage.name(), self._state.now(), parent.id
        )
        state.unused(branch.name)
        moment = state.moment(parent, asked.get("parent_lsn"), asked.get("parent_timestamp"))
        branch.lsn, branch.time = (
            (moment.lsn, moment.time) if moment else (state.storage.lsn(), seconds(self._state.now()))
        )
        branch.protected, branch.state = asked.get("protected", False), "init"
        state.set_expiry(branch, _time(asked.get("expires_at")))
        operations, done = self._begin(branch, ["create_branch", *("start_compute" for _ in kinds)])
        state.add(branch)
        endpoints = []
        if done:
            state.fill(branch, parent, moment)
            endpoints = [state.equip(branch) for _ in kinds]
        answer = {
            "branch": branch.told(self._project),
            "endpoints": [each.told(self._project) for each in endpoints],
            "operations": operations,
            "roles": [],
            "databases": [],
        }
        return Answer(201, answer)

    def _change(self, request: Request, id: str) -> Answer:
        branch, asked = self._unlocked(id), request.body["branch"]
        if asked.get("name", branch.name) != branch.name:
            self._state.unused(asked["name"])
        protected = asked.get("protected", branch.protected)
        if protected and branch.expires and "expires_at" not in asked:
            raise Refused(422, "a branch with an expiration time cannot be protected")
        actions = ["timeline_update_protected_config"] if protected != branch.protected else []
        operations, done = self._begin(branch, actions)
        if done:
            if "expires_at" in asked:
                self._state.set_expiry(branch, _time(asked["expires_at"]))
            branch.name, branch.protected = asked.get("name", branch.name), protected
        return Answer(200, {"branch": branch.told(self._project), "operations": operations})

    def _delete(self, request: Request, id: str) -> Answer:
        if id not in self._state.branches:
            return Answer(204)
        branch = self._unlocked(id)
        if branch.default or (branch.parent is None and not branch.kept):
            raise Refused(422, "the root branch and the default branch cannot be deleted")
        if branch.protected or self._state.children(branch):
            raise Refused(422, "a branch that is protected or has child branches cannot be deleted")
        computes = self._state.computes(id)
        actions = [*("suspend_compute" for _ in computes), "delete_timeline"]
        operations, done = self._begin(branch, actions, *computes)
        if done:
            self._state.remove(branch)
        return Answer(200, {"branch": branch.told(self._project), "operations": operations})

    def _restore(self, request: Request, id: str) -> Answer:
        asked, state = request.body, self._state
        branch, source = self._unlocked(id), self._unlocked(asked["source_branch_id"])
        keep, own = asked.get("preserve_under_name"), branch is source
        moment = state.moment(source, asked.get("source_lsn"), asked.get("source_timestamp"))
        if own and (moment is None or not keep):
            raise Refused(400, "from itself a branch needs source_lsn or source_timestamp, and preserve_under_name")
        if state.children(branch) and not keep:
            raise Refused(422, "the branch has child branches: preserve_under_name is required")
        if branch.protected and source.id == branch.parent:
            raise Refused(422, "a protected branch cannot be reset")
        if source.expires and not own:
            raise Refused(422, "a branch with an expiration time cannot have child branches")
        if keep:
            state.unused(keep)
        computes = state.computes(id)
        actions = ["create_timeline", *(action for _ in computes for action in ("suspend_compute", "start_compute"))]
        operations, done = self._begin(branch, actions, *computes)
        if done:
            state.replace(branch, source, moment, keep)
        return Answer(200, {"branch": branch.told(self._project), "operations": operations})

    def _snapshot(self, request: Request, id: str) -> Answer:
        branch, query = self._unlocked(id), request.query
        moment = self._state.moment(branch, query.get("lsn"), query.get("timestamp"))
        told = {
            "id": new_id("snap"),
            "name": query.get("name", new_id("snap")),
            "source_branch_id": branch.id,
            "created_at": text(self._state.now()),
            "lsn": moment.lsn if moment else self._state.storage.lsn(),
        }
        if "expires_at" in query:
            told["expires_at"] = query["expires_at"]
        operations, done = self._begin(branch, ["create_timeline"])
        if done:
            self._snapshots.append(told)
        return Answer(200, {"snapshot": told, "operations": operations})

    def _list_snapshots(self, request: Request) -> Answer:
        return Answer(200, {"snapshots": self._snapshots})

    def _list_endpoints(self, request: Request, id: str | None = None) -> Answer:
        found = self._state.computes(id and self._state.known(id).id)
        return Answer(200, {"endpoints": [each.told(self._project) for each in found]})

    def _equip(self, request: Request) -> Answer:
        asked = request.body["endpoint"]
        branch = self._unlocked(asked["branch_id"])
        if asked["type"] != "read_write":
            raise Violation("a branch has one read_write endpoint here, or none")
        if self._state.computes(branch.id):
            raise Refused(409, "the branch already has a read_write endpoint")
        operations, done = self._begin(branch, ["start_compute"])
        endpoint = self._state.equip(branch)
        if not done:
            self._state.endpoints.pop(endpoint.id).compute.close()
        return Answer(201, {"endpoint": endpoint.told(self._project), "operations": operations})

    def _turn(self, request: Request, id: str, verb: str) -> Answer:
        if id not in self._state.endpoints:
            raise Refused(404, "endpoint not found")
        endpoint, wanted = self._state.endpoints[id], "active" if verb == "start" else "idle"
        branch = self._unlocked(endpoint.branch)
        operations, done = self._begin(branch, [] if endpoint.state == wanted else [f"{verb}_compute"], endpoint)
        if done:
            endpoint.state = wanted
            if wanted == "idle":
                self._state.storage.end(endpoint.compute.cut())
        return Answer(200, {"endpoint": endpoint.told(self._project), "operations": operations})

    def _connection_uri(self, request: Request) -> Answer:
        query = request.query
        if (query["database_name"], query["role_name"]) != self._known:
            raise Refused(404, "database or role not found")
        branch = self._state.known(query.get("branch_id"))
        found = [one for one in self._state.computes(branch.id) if query.get("endpoint_id", one.id) == one.id]
        if not found:
            raise Refused(404, "no read-write endpoint found for the branch")
        return Answer(200, {"uri": self._uri(found[0], query.get("pooled") == "true")})

    def _look(self, request: Request, id: str) -> Answer:
        operation = self._operations.look(id)
        if operation is None:
            raise Refused(404, "operation not found")
        return Answer(200, {"operation": operation})

    def _begin(
        self, branch: Branch, actions: list[str], endpoint: Endpoint | None = None
    ) -> tuple[list[dict[str, Any]], bool]:
        return self._operations.begin(self._state.now(), branch, actions, endpoint)

    def _unlocked(self, id: str | None) -> Branch:
        """The branch of this id, or the default one, in which nothing is going on."""
        branch = self._state.known(id)
        if self._operations.locked(branch):
            raise Refused(423, "project already has running operations, scheduling of new ones is prohibited")
        return branch


def _time(told: str | None) -> datetime | None:
    return None if told is None else datetime.fromisoformat(told)
