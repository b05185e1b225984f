"""Instance after instance, each of which must hold before the next is touched."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ops import health
from ops.errors import ServiceUnhealthy
from ops.platforms.base import Instance, Platform, State
from ops.platforms.shell import Shell
from ops.services import Service

LINES = 20
"""Of the log, shown of an instance that does not hold."""


def restarted(service: Service, platform: Platform, shell: Shell | None, say: Callable[[str], None]) -> None:
    """Restart every instance, one after the other.

    Raises:
        ServiceUnhealthy: one does not hold; the ones after it were left as they are.
    """
    for number, instance in enumerate(platform.status().instances):
        say(f"restarting {instance.name}")
        before = datetime.now(UTC)
        platform.restart(instance.name)
        holds(service, platform, instance.name, number, shell, before)
        say(f"{instance.name} holds")


def started(service: Service, platform: Platform, shell: Shell | None, say: Callable[[str], None]) -> None:
    """Start every instance that does not run, and see that it holds.

    Raises:
        ServiceUnhealthy: one does not.
    """
    for number, instance in enumerate(platform.status().instances):
        if instance.state is not State.RUNNING:
            say(f"starting {instance.name}")
            before = datetime.now(UTC)
            platform.start(instance.name)
            holds(service, platform, instance.name, number, shell, before)


def holds(
    service: Service, platform: Platform, name: str, number: int, shell: Shell | None, before: datetime
) -> Instance:
    """Wait until an instance runs and is healthy, and then for as long as it must stay so.

    Args:
        service: says how long.
        platform: where it runs.
        name: the instance's.
        number: the instance's, for its port.
        shell: on its host, if that is one of ours.
        before: when it was told to start; its log since then is shown when it does not hold.

    Raises:
        ServiceUnhealthy: it was not within the time, or did not stay so; with the last lines of its log.
    """
    deadline = time.monotonic() + service.within
    since: float | None = None
    first: Instance | None = None
    while True:
        instance = platform.status().of(name)
        wrong = None if instance.state is State.RUNNING else f"it is {instance.state}"
        wrong = wrong or health.problem(service, number, shell)
        now = time.monotonic()
        if first is not None and (wrong or instance.since != first.since):
            raise _unhealthy(platform, name, wrong or "it was started again by itself", "did not stay up", before)
        if wrong is None:
            first, since = first or instance, since or now
            if now - since >= service.settle:
                return instance
        elif now > deadline:
            raise _unhealthy(platform, name, wrong, f"is not healthy after {service.within:g} s", before)
        time.sleep(platform.pause)


def _unhealthy(platform: Platform, name: str, wrong: str, what: str, before: datetime) -> ServiceUnhealthy:
    error = ServiceUnhealthy(
        f"{name} {what}: {wrong}", "Its log is above. The instances after it were left as they are"
    )
    error.log = platform.logs(before - timedelta(seconds=2), LINES)
    return error
