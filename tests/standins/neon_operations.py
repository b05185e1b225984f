"""The operations that every write of the stand-in of Neon is made of: they take their time, and may fail."""

from __future__ import annotations

import math
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from standins.neon_records import Branch, Endpoint, text

_GOOD = ("finished", "skipped")


@dataclass
class Chain:
    """The operations of one write, which end together."""

    branch: str
    looks: int
    ends: float

    def over(self) -> bool:
        return time.monotonic() >= self.ends and self.looks <= 0


class Operations:
    """All of them.

    Args:
        project: its id.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._all: dict[str, tuple[dict[str, Any], Chain]] = {}
        self.looks = 1
        self.slow = 0.0
        self.failing: list[tuple[str, str]] = []
        self._beginning: list[Chain] = []

    def begin(
        self, now: datetime, branch: Branch, actions: list[str], endpoint: Endpoint | None = None
    ) -> tuple[list[dict[str, Any]], bool]:
        """Begin those of one write.

        Returns:
            How they are told at first, and whether they will do what they are for.
        """
        chain = Chain(branch.id, self.looks, 0.0)
        if self.slow:
            chain = Chain(branch.id, 0, math.inf)
            self._beginning.append(chain)
        begun = [self._operation(now, branch, action, endpoint) for action in actions]
        for operation in begun:
            self._all[operation["id"]] = (operation, chain)
        return [_told(operation, chain) for operation in begun], all(one["status"] in _GOOD for one in begun)

    def answered(self) -> None:
        """From now on what was begun takes its time."""
        for chain in self._beginning:
            chain.ends = time.monotonic() + self.slow
        self._beginning.clear()

    def begun(self, action: str) -> int:
        """How many there were of an action."""
        return sum(operation["action"] == action for operation, _ in self._all.values())

    def look(self, id: str) -> dict[str, Any] | None:
        """How one of them stands."""
        if id not in self._all:
            return None
        operation, chain = self._all[id]
        chain.looks -= 1
        return _told(operation, chain)

    def locked(self, branch: Branch) -> bool:
        """Whether a branch still has some that take their time."""
        return any(chain.branch == branch.id and time.monotonic() < chain.ends for _, chain in self._all.values())

    def _operation(self, now: datetime, branch: Branch, action: str, endpoint: Endpoint | None) -> dict[str, Any]:
        ending = next((status for failing, status in self.failing if failing == action), "finished")
        if ending != "finished":
            self.failing.remove((action, ending))
        failed = ending in ("failed", "error")
        return {
            "id": str(uuid.uuid4()),
            "project_id": self._project,
            "branch_id": branch.id,
            "action": action,
            "status": ending,
            "failures_count": int(failed),
            "created_at": text(now),
            "updated_at": text(now),
            "total_duration_ms": 100,
            **({"error": "told to fail"} if failed else {}),
            **({"endpoint_id": endpoint.id} if endpoint and action.endswith("_compute") else {}),
        }


def _told(operation: dict[str, Any], chain: Chain) -> dict[str, Any]:
    if chain.over():
        return operation
    told = {key: value for key, value in operation.items() if key != "error"}
    return {**told, "status": "running", "failures_count": 0}
