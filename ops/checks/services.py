"""Checks of the services, and of the queues between them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ops.checks.base import Age, Check, Place


class ServicesRunning(Check):
    """Every instance of the services runs, is healthy, and was not started anew by its platform lately.

    systemd and Docker count how often they did that since somebody last started it; pm2 only what died young. Of the
    other platforms it is not known, so that there one sees it only while the instance is down.

    Args:
        services: their names; none: all of the environment.
        restarts: how often the platform may have started an instance anew by itself, when it last did so in the window.
        window: how long ago counts.
    """

    kind: Literal["services_running"] = "services_running"
    place: ClassVar[Place] = Place.HERE

    services: tuple[str, ...] = ()
    restarts: Annotated[int, Field(ge=0)] = 0
    window: Age = "1h"

    def subject(self) -> str:
        """See ``Check``."""
        return "services"


class Backlog(Check):
    """What waits in a queue of the environment's.

    Args:
        queue: its name.
        at_most: how many messages may wait.
        oldest: how long the oldest may have waited; none: as long as it likes.
        paused: whether it may be paused without a failure.
    """

    kind: Literal["backlog"] = "backlog"
    place: ClassVar[Place] = Place.HERE

    queue: str
    at_most: Annotated[int, Field(ge=0)] = 100
    oldest: Age | None = None
    paused: bool = False

    def subject(self) -> str:
        """See ``Check``."""
        return f"queue {self.queue}"[:60]
