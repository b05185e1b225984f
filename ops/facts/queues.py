"""Facts about queues."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from ops.facts.asked import Asked


class Backlogs(Asked):
    """What waits in each queue of the account on Cloudflare.

    .. code:: python

        {"orders": {"messages": 12, "oldest_seconds": 4.0, "paused": False}}
    """

    @override
    def ask(self) -> dict[str, Any]:
        from ops.operations.queues import queues

        cloud = queues()
        answer = {}
        for name in cloud.names():
            backlog = cloud.backlog(name)
            oldest = backlog.oldest.total_seconds() if backlog.oldest else None
            answer[name] = {"messages": backlog.messages, "oldest_seconds": oldest, "paused": cloud.paused(name)}
        return answer
