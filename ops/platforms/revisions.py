"""What Google's answers say of a service's revisions: which serves, which release each is, and when it served.

Google keeps no history of what served. Known are when each revision was made, and where the traffic goes now. What
this project switches it writes down itself, as an annotation of the service. So of a switch made by somebody else it
cannot be known when it was; and a revision that was deployed without traffic cannot be told from one that served,
unless another was pinned at that time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.platforms.base import Release

SERVED = "pyinfra-ops/served"
KEPT = 20
"""Entries; Kubernetes allows 256 KB of annotations."""
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
PINNED = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


@dataclass(frozen=True)
class Entry:
    """A revision that was given the traffic.

    Args:
        revision: its name.
        release: the revision it is a restart of, or itself.
        at: when it was activated, ISO 8601; None for a restart, by which no other release began to serve.
    """

    revision: str
    release: str
    at: str | None


class Revisions:
    """A service's revisions, as far as they were asked for.

    Args:
        service: what Google says of the service.
        revisions: what it says of revisions.
    """

    def __init__(self, service: dict[str, Any], revisions: list[dict[str, Any]]) -> None:
        self._service = service
        self._revisions = {short(revision["name"]): revision for revision in revisions}
        self._entries = entries(service)

    def release_of(self, revision: str) -> str:
        """What a revision is: itself, or for a restart the one before it."""
        return next((entry.release for entry in self._entries if entry.revision == revision), revision)

    def since(self, revision: str) -> datetime:
        """When a revision last began to serve; what is older than its making is not looked at."""
        times = [when(entry.at) for entry in self._entries if entry.revision == revision and entry.at]
        return max([when(self._revisions[revision]["createTime"]), *times])

    def newest_of(self, release: str) -> str:
        """The revision to give the traffic to: the last restart of a release."""
        return max(
            (name for name in self._good() if self.release_of(name) == release),
            key=lambda name: when(self._revisions[name]["createTime"]),
        )

    def releases(self) -> list[Release]:
        """Every release that is ready, the one that serves first, then by when it served."""
        serving, _ = serves(self._service)
        current = self.release_of(serving) if serving else None
        names = dict.fromkeys(self.release_of(name) for name in self._good())
        found = [(name, self._served(name, current)) for name in names]

        def order(each: tuple[str, datetime | None]) -> tuple[bool, bool, datetime]:
            return each[0] == current, each[1] is not None, each[1] or self._made(each[0])

        return [Release(name, served) for name, served in sorted(found, key=order, reverse=True)]

    def served(self, release: str) -> datetime | None:
        """When the release that serves began to; None when somebody else switched to it at an unknown time."""
        return self._served(release, release)

    def _served(self, release: str, current: str | None) -> datetime | None:
        recorded = [(entry.release, when(entry.at)) for entry in self._entries if entry.at]
        own = [time for name, time in recorded if name == release]
        made = self._made(release)
        if release == current:
            if not recorded or made > recorded[-1][1]:
                return made
            return recorded[-1][1] if recorded[-1][0] == release else None
        if own:
            return own[-1]
        pinned = current is not None and not any(target.get("type") == LATEST for target in _traffic(self._service))
        since = self._served(current, current) if pinned and current else None
        return None if since and made > since else made

    def _made(self, release: str) -> datetime:
        known = [name for name in self._revisions if self.release_of(name) == release]
        return when(self._revisions[release if release in known else known[0]]["createTime"])

    def _good(self) -> list[str]:
        serving, _ = serves(self._service)
        return [name for name, revision in self._revisions.items() if name == serving or not failed(revision, "Ready")]


def serves(service: dict[str, Any]) -> tuple[str | None, bool]:
    """The revision that gets most of the traffic, and whether it gets all of it."""
    shares: dict[str, int] = {}
    latest = short(service.get("latestReadyRevision", ""))
    for target in _traffic(service):
        # A target of the latest revision does not name it.
        name = target.get("revision") or latest
        shares[name] = shares.get(name, 0) + target.get("percent", 0)
    shares = {short(name): share for name, share in shares.items() if name and share}
    if not shares:
        return None, False
    most = max(shares, key=shares.__getitem__)
    return most, len(shares) == 1


def entries(service: dict[str, Any]) -> list[Entry]:
    """What this project wrote down, oldest first. A note that somebody spoilt is no note."""
    try:
        return [Entry(**entry) for entry in json.loads(service.get("annotations", {}).get(SERVED, "[]"))]
    except (ValueError, TypeError):
        return []


def noted(service: dict[str, Any], entry: Entry) -> dict[str, str]:
    """The service's annotations with one more entry."""
    kept = [*entries(service), entry][-KEPT:]
    return {**service.get("annotations", {}), SERVED: json.dumps([vars(each) for each in kept])}


def failed(resource: dict[str, Any], *types: str) -> bool:
    """Whether one of the conditions has failed. A service has its condition ``Ready`` apart from the others."""
    conditions = [resource.get("terminalCondition", {}), *resource.get("conditions", ())]
    return any(
        condition.get("type") in types and condition.get("state") == "CONDITION_FAILED" for condition in conditions
    )


def short(name: str) -> str:
    """``web-00001-abc`` of ``projects/…/revisions/web-00001-abc``."""
    return name.rpartition("/")[2]


def when(time: str) -> datetime:
    """Google's times, which have up to nine digits of a second."""
    return datetime.fromisoformat(time)


def _traffic(service: dict[str, Any]) -> list[dict[str, Any]]:
    return list(service.get("trafficStatuses", ()))
