"""Cloudflare Queues: pausing the delivery, so that workers can be changed while messages wait; and what waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.errors import ServiceMissing
from ops.platforms.cloudflare import Cloudflare
from ops.services import Queues


@dataclass(frozen=True)
class Backlog:
    """What waits in a queue; Cloudflare's figures are near, not exact.

    Args:
        messages: how many.
        oldest: how long the oldest has waited; None when none waits.
    """

    messages: int
    oldest: timedelta | None


class CloudflareQueues:
    """The queues of an account, each called by its name.

    Args:
        queues: their description.
    """

    def __init__(self, queues: Queues) -> None:
        self._cloudflare = Cloudflare(queues.api, queues.account, queues.token)

    def names(self) -> list[str]:
        """The names of all queues, in alphabetical order."""
        found: set[str] = set()
        page = 1
        while new := {queue["queue_name"] for queue in self._list({"page": str(page)})} - found:
            found |= new
            page += 1
        return sorted(found)

    def paused(self, name: str) -> bool:
        """Whether the queue's delivery is paused.

        Raises:
            ServiceMissing: there is no such queue.
        """
        return bool(self._queue(name).get("settings", {}).get("delivery_paused"))

    def set_paused(self, name: str, paused: bool) -> bool:
        """Pause the delivery, or let it go on. Messages are taken in all the while.

        Returns:
            Whether anything changed.
        """
        queue = self._queue(name)
        if bool(queue.get("settings", {}).get("delivery_paused")) is paused:
            return False
        body = {"settings": {"delivery_paused": paused}}
        self._cloudflare.ask("PATCH", f"queues/{queue['queue_id']}", json=body)
        return True

    def backlog(self, name: str) -> Backlog:
        """How much waits, and for how long."""
        metrics = self._cloudflare.ask("GET", f"queues/{self._queue(name)['queue_id']}/metrics")
        count, oldest = int(metrics["backlog_count"]), metrics.get("oldest_message_timestamp_ms")
        if not count or not oldest:
            return Backlog(count, None)
        return Backlog(count, max(datetime.now(UTC) - datetime.fromtimestamp(oldest / 1000, UTC), timedelta()))

    def purge(self, name: str) -> None:
        """Delete every message in the queue. They cannot be had back."""
        body = {"delete_messages_permanently": True}
        self._cloudflare.ask("POST", f"queues/{self._queue(name)['queue_id']}/purge", json=body)

    def _queue(self, name: str) -> dict[str, Any]:
        for queue in self._list({"name": name}):
            if queue["queue_name"] == name:
                return queue
        raise ServiceMissing(f"Cloudflare has no queue {name} in this account", "Look at the names in the inventory")

    def _list(self, params: dict[str, str]) -> list[dict[str, Any]]:
        return self._cloudflare.ask("GET", "queues", params=params) or []
