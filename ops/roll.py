"""Instance after instance, each of which must hold before the next is touched."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ops import health
from ops.errors import OpsError, ServiceError, ServiceUnhealthy
from ops.platforms.base import Instance, Platform, State, Status
from ops.platforms.shell import Shell
from ops.services import Service

LINES = 20
"""Of the log, shown of an instance that does not hold."""


def restarted(service: Service, platform: Platform, shell: Shell | None, say: Callable[[str], None]) -> None:
    """Restart every instance, one after the other, and first those that serve nobody anyway.

    One that is healthy is restarted only while all the others are: else nobody might be left to serve.

    Raises:
        ServiceUnhealthy: one does not hold; the ones after it were left as they are.
        ServiceError: there is none.
    """
    status = platform.status()
    if not status.instances:
        raise ServiceError(f"{service.name} has no instance that could be restarted", "Deploy it first")
    sick = problems(service, status, shell)
    for number, instance in sorted(enumerate(status.instances), key=lambda each: sick[each[0]] is None):
        if sick[number] is None and len(status.instances) > 1:
            _others_hold(service, platform, shell, instance.name)
        say(f"restarting {instance.name}")
        before = datetime.now(UTC)
        platform.restart(instance.name)
        holds(service, platform, number, instance, shell, before)
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
            holds(service, platform, number, Instance(instance.name, instance.state), shell, before)


def problems(service: Service, status: Status, shell: Shell | None) -> list[str | None]:
    """What is wrong with each instance: it does not run, or is not healthy; None for one that is well."""
    running = [number for number, one in enumerate(status.instances) if one.state is State.RUNNING]
    sick = dict(zip(running, health.problems(service, running, shell), strict=True))
    return [sick.get(number, f"is {one.state}") for number, one in enumerate(status.instances)]


def holds(
    service: Service, platform: Platform, number: int, old: Instance, shell: Shell | None, before: datetime
) -> Instance:
    """Wait until an instance runs and is healthy, and then for as long as it must stay so.

    Args:
        service: says how long.
        platform: where it runs.
        number: the instance's, for its port.
        old: the instance as it was; one that runs since then has not been started.
        shell: on its host, if that is one of ours.
        before: when it was told to start; its log since then is shown when it does not hold.

    Raises:
        ServiceUnhealthy: it was not within the time, or did not stay so; with the last lines of its log.
    """
    name = old.name
    deadline = time.monotonic() + service.within
    since: float | None = None
    first: Instance | None = None
    while True:
        instance = platform.status().of(name)
        wrong = None if instance.state is State.RUNNING else f"it is {instance.state}"
        if wrong is None and old.since is not None and instance.since == old.since:
            wrong = f"it was not started anew, but runs since {old.since:%H:%M:%S} UTC"
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


def well(service: Service, platform: Platform, shell: Shell | None) -> None:
    """Wait until every instance that is not stopped is healthy.

    Raises:
        ServiceUnhealthy: one was not within the time that the service has for it.
    """
    sick = _sick(service, platform, shell, lambda one: one.state is State.STOPPED)
    if sick:
        raise ServiceUnhealthy(f"{service.name} is not healthy: {'; '.join(sick)}", "Look at its log")


def _others_hold(service: Service, platform: Platform, shell: Shell | None, name: str) -> None:
    """Wait until all but one are well: somebody else may be restarting them at this moment."""
    sick = _sick(service, platform, shell, lambda one: one.name == name)
    if sick:
        raise ServiceUnhealthy(
            f"{name} was left as it is, because nobody else would have served: {'; '.join(sick)}",
            "Mend that first, or see who else is at work on it",
        )


def _sick(service: Service, platform: Platform, shell: Shell | None, but: Callable[[Instance], bool]) -> list[str]:
    """What is still wrong after the time that the service has to become healthy; some instances do not count."""
    deadline = time.monotonic() + service.within
    while True:
        status = platform.status()
        found = zip(status.instances, problems(service, status, shell), strict=True)
        sick = [f"{one.name} {wrong}" for one, wrong in found if wrong and not but(one)]
        if not sick or time.monotonic() > deadline:
            return sick
        time.sleep(platform.pause)


def _unhealthy(platform: Platform, name: str, wrong: str, what: str, before: datetime) -> ServiceUnhealthy:
    error = ServiceUnhealthy(
        f"{name} {what}: {wrong}", "Its log is above. The instances after it were left as they are"
    )
    try:
        error.log = platform.logs(before - timedelta(seconds=2), LINES, name)
    except OpsError as unreadable:
        error.log = [f"its log cannot be read: {unreadable.problem}"]
    return error
