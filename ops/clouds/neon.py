"""Neon's API, version 2: branches, endpoints, snapshots and the operations that every change is made of.

Source: the OpenAPI specification in the npm package ``@neondatabase/api-client``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ops.clouds.api import Api
from ops.clouds.neon_resources import Branch, Endpoint, Snapshot
from ops.database import Neon
from ops.errors import ConfigurationError, ServiceError, ServiceMissing
from ops.secrets import Secret

PATIENCE = 600.0
"""Seconds that an operation may take."""
PAUSE = 0.3
"""Seconds between two looks at it; they grow."""
_PAGE = "100"
_DONE, _BAD = ("finished", "skipped"), ("failed", "error", "cancelled")
_SETTLED = ("ready", "archived")
_LSN = re.compile(r"^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$")


class _Waiting:
    """For something at Neon to come to its end, looked at less and less often."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + PATIENCE
        self._pause = PAUSE

    def over(self) -> bool:
        """Whether it took too long."""
        return time.monotonic() > self._deadline

    def pause(self) -> None:
        """Until the next look."""
        time.sleep(self._pause)
        self._pause = min(self._pause * 1.5, 3.0)


class Project:
    """A project.

    A write is tried again only when Neon surely did not begin it: no connection, 423, 429 (after what it asks for),
    503. What was begun is waited for, operation by operation.

    Args:
        described: names the project, and the key.
    """

    def __init__(self, described: Neon) -> None:
        self._described = described
        self._api = Api("Neon", described.api, described.api_key)
        self._path = f"projects/{quote(described.project, safe='')}"

    def branches(self) -> list[Branch]:
        """All of them, the newest first.

        Raises:
            OpsError: Neon does not tell.
        """
        found = [Branch.of(one) for page in self._pages("branches", "branches") for one in page]
        return sorted(found, key=lambda one: one.created, reverse=True)

    def branch(self, name: str) -> Branch | None:
        """The one of exactly this name, if there is one. Neon's own search is for parts of names.

        Raises:
            ConfigurationError: several are so called.
            OpsError: Neon does not tell.
        """
        pages = self._pages("branches", "branches", search=name)
        found = [Branch.of(one) for page in pages for one in page if one["name"] == name]
        if len(found) > 1:
            raise ConfigurationError(
                f"{len(found)} branches of {self._described.project} are called {name}", "Rename all but one"
            )
        return found[0] if found else None

    def require(self, name: str) -> Branch:
        """The one of exactly this name.

        Raises:
            ServiceMissing: there is none.
            OpsError: Neon does not tell.
        """
        found = self.branch(name)
        if found is None:
            raise ServiceMissing(
                f"the project {self._described.project} has no branch {name}",
                f"There are: {', '.join(one.name for one in self.branches()[:10])}",
            )
        return found

    def settled(self, name: str) -> Branch:
        """The one of exactly this name, once nothing is done to it any more.

        Raises:
            ServiceError: it takes too long.
            OpsError: there is none, or Neon does not tell.
        """
        waiting = _Waiting()
        while (found := self.require(name)).state not in _SETTLED:
            if waiting.over():
                raise ServiceError(
                    f"the branch {name} is {found.state} after {PATIENCE:.0f} s", "Look at it in Neon's console"
                )
            waiting.pause()
        return found

    def make(
        self,
        name: str,
        parent: Branch,
        at: str | datetime | None = None,
        expires: datetime | None = None,
        endpoint: bool = True,
    ) -> Branch:
        """Make a branch; whoever calls has seen that there is none of this name.

        Args:
            name: its name.
            parent: what it is made of.
            at: the time or LSN of the parent's history; None: as it is now.
            expires: when Neon is to delete it by itself; None: never.
            endpoint: whether it is to have a compute, without which nobody can connect.

        Raises:
            ServiceError: Neon refused, or its operations failed.
        """
        asked: dict[str, Any] = {"name": name, "parent_id": parent.id, **_moment(at, "parent")}
        if expires is not None:
            asked["expires_at"] = _told(expires)
        body: dict[str, Any] = {"branch": asked}
        if endpoint:
            body["endpoints"] = [{"type": "read_write"}]
        answer = self._write("POST", "branches", f"making the branch {name}", json=body)
        return Branch.of(answer["branch"])

    def change(self, branch: Branch, **changes: Any) -> Branch:
        """Change a branch.

        Args:
            branch: which.
            changes: ``name``, ``protected``, ``expires_at`` (a time, or None: it stays for good).

        Raises:
            ServiceError: Neon refused, or its operations failed.
        """
        asked = {key: _told(value) if isinstance(value, datetime) else value for key, value in changes.items()}
        words = f"changing the branch {branch.name}"
        return Branch.of(self._write("PATCH", f"branches/{branch.id}", words, json={"branch": asked})["branch"])

    def delete(self, branch: Branch) -> None:
        """Delete a branch and what it runs on; one that is gone already is no failure.

        Raises:
            ServiceError: Neon refused, as it does with the default branch and with parents, or its operations failed.
        """
        try:
            self._write("DELETE", f"branches/{branch.id}", f"deleting the branch {branch.name}")
        except ServiceMissing:
            # It may be what the deletion is waited for by that is missing.
            if any(one.id == branch.id for one in self.branches()):
                raise

    def restore(
        self, branch: Branch, source: Branch, at: str | datetime | None = None, keep_as: str | None = None
    ) -> Branch:
        """Let a branch have the content of another, or its own of an earlier time. Its endpoint and address stay.

        Args:
            branch: which.
            source: whose content; the branch itself needs ``at`` and ``keep_as``.
            at: the time or LSN of the source's history; None: as it is now.
            keep_as: the name under which the branch's content until now is kept, with all its children.

        Raises:
            ConfigurationError: a branch cannot be restored from itself without them.
            ServiceError: Neon refused, or its operations failed.
        """
        if branch.id == source.id and (at is None or keep_as is None):
            raise ConfigurationError(
                f"the branch {branch.name} can be restored from itself only to an earlier time, and kept",
                "Say to which time or LSN, and the name under which it is kept",
            )
        asked: dict[str, Any] = {"source_branch_id": source.id, **_moment(at, "source")}
        if keep_as is not None:
            asked["preserve_under_name"] = keep_as
        words = f"restoring the branch {branch.name}"
        return Branch.of(self._write("POST", f"branches/{branch.id}/restore", words, json=asked)["branch"])

    def endpoints(self, branch: Branch | None = None) -> list[Endpoint]:
        """Those of a branch; None: of the project.

        Raises:
            OpsError: Neon does not tell.
        """
        path = "endpoints" if branch is None else f"branches/{branch.id}/endpoints"
        return [Endpoint.of(one) for one in self._api.ask("GET", f"{self._path}/{path}")["endpoints"]]

    def serve(self, branch: Branch) -> Endpoint:
        """The endpoint by which a branch is read and written, without which nobody can connect; made where it has none.

        Raises:
            ServiceError: Neon refused, or its operations failed.
        """
        there = next((one for one in self.endpoints(branch) if one.kind == "read_write"), None)
        if there is not None:
            return there
        body = {"endpoint": {"branch_id": branch.id, "type": "read_write"}}
        return Endpoint.of(self._write("POST", "endpoints", f"giving {branch.name} an endpoint", json=body)["endpoint"])

    def start(self, endpoint: Endpoint) -> None:
        """Start an endpoint.

        Raises:
            ServiceError: Neon refused, or its operations failed.
        """
        self._write("POST", f"endpoints/{endpoint.id}/start", f"starting the endpoint {endpoint.id}")

    def suspend(self, endpoint: Endpoint) -> None:
        """Suspend an endpoint, which cuts who is connected; the next who connects starts it.

        Raises:
            ServiceError: Neon refused, or its operations failed.
        """
        self._write("POST", f"endpoints/{endpoint.id}/suspend", f"suspending the endpoint {endpoint.id}")

    def snapshots(self) -> list[Snapshot]:
        """All of them, the newest first.

        Raises:
            OpsError: Neon does not tell.
        """
        found = [Snapshot.of(one) for one in self._api.ask("GET", f"{self._path}/snapshots")["snapshots"]]
        return sorted(found, key=lambda one: one.created, reverse=True)

    def uri(self, branch: str) -> Secret:
        """The URL of the database on a branch, for its role, past the pooler.

        Raises:
            OpsError: Neon does not know the names, or does not answer.
        """
        asked = {
            "branch_id": self.require(branch).id,
            "database_name": self._described.database,
            "role_name": self._described.role,
            "pooled": "false",
        }
        found = str(self._api.ask("GET", f"{self._path}/connection_uri", params=asked)["uri"])
        return Secret(f"URL of {self._described.database} on Neon's branch {branch}", lambda: found)

    def _pages(self, path: str, part: str, **params: str) -> Iterator[list[dict[str, Any]]]:
        """A list page by page. Neon gives a cursor with the last page too; one that comes again ends it."""
        seen: set[str] = set()
        asked = {"limit": _PAGE, **params}
        while True:
            answer = self._api.ask("GET", f"{self._path}/{path}", params=asked)
            page = answer[part]
            yield page
            cursor = (answer.get("pagination") or {}).get("next")
            if not page or not cursor or cursor in seen:
                return
            seen.add(cursor)
            asked["cursor"] = cursor

    def _write(self, method: str, path: str, words: str, json: Any = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._api.ask(method, f"{self._path}/{path}", json=json) or {}
        for operation in answer.get("operations", ()):
            self._finish(operation, words)
        return answer

    def _finish(self, operation: dict[str, Any], words: str) -> None:
        waiting = _Waiting()
        while operation["status"] not in _DONE:
            if operation["status"] in _BAD:
                why = f": {operation['error']}" if operation.get("error") else ""
                raise ServiceError(
                    f"{words}: Neon's operation {operation['action']} is {operation['status']}{why}",
                    f"Look at the branch in Neon's console; the operation is {operation['id']}",
                )
            if waiting.over():
                raise ServiceError(
                    f"{words}: Neon's operation {operation['action']} is {operation['status']} after {PATIENCE:.0f} s",
                    f"It may still end well: look at the operation {operation['id']}, then run this again",
                )
            waiting.pause()
            operation = self._api.ask("GET", f"{self._path}/operations/{operation['id']}")["operation"]


def moment(text: str) -> str | datetime:
    """A point in a branch's history as somebody types it: an LSN, or a time.

    Raises:
        ConfigurationError: it is neither.
    """
    if _LSN.match(text):
        return text
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{text} is no point in a branch's history",
            "Write a time, such as 2026-11-21T10:00:00Z, or an LSN, such as 0/1A2B3C4D",
        ) from None
    return time.replace(tzinfo=time.tzinfo or UTC)


def _moment(at: str | datetime | None, of: str) -> dict[str, str]:
    if at is None:
        return {}
    return {f"{of}_timestamp": _told(at, "milliseconds")} if isinstance(at, datetime) else {f"{of}_lsn": at}


def _told(time: datetime, exactly: str = "seconds") -> str:
    """A time in Neon's words, who takes an expiry by the second, and a moment of history by the millisecond."""
    return time.astimezone(UTC).isoformat(timespec=exactly).replace("+00:00", "Z")
