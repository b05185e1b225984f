"""Whether every instance of the services runs, is healthy, and was left alone by its platform lately."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from ops import clock, roll
from ops.checks import Outcome, Result, ServicesRunning
from ops.checks.base import seconds
from ops.checks.result import worst
from ops.errors import ServiceMissing
from ops.platforms import Instance, State, Status
from ops.probes.around import Around
from ops.probes.places import Place, everywhere, named


def ask(check: ServicesRunning, at: Around) -> Iterable[Result]:
    """One result for each service in each of its places."""
    return everywhere(named(at.environment, check.services), at, check.timeout, partial(_look, check))


def _look(check: ServicesRunning, place: Place) -> Iterable[Result]:
    service = place.service
    limit = "all healthy" if service.health else "all running"
    try:
        status = _settled(place, check.timeout / 2)
    except ServiceMissing as missing:
        return [Result(Outcome.FAIL, missing.problem, limit, missing.hint)]
    if not status.instances:
        return [Result(Outcome.FAIL, "it has no instance", limit, "Deploy it first")]
    sick = roll.problems(service, status, place.shell)
    found = [_judged(check, *each) for each in zip(status.instances, sick, strict=True)]
    wrong = [one for one in found if one.outcome is not Outcome.PASS]
    if not wrong:
        return [Result(Outcome.PASS, f"{len(found)} {'healthy' if service.health else 'running'}", limit)]
    said = "; ".join(one.value for one in wrong)
    return [Result(worst(wrong), said, limit, _hint(place, status.state))]


def _settled(place: Place, patience: float) -> Status:
    """How it is once nothing starts any more, or the patience is over: a crash loop often looks like a start."""
    end = time.monotonic() + patience
    while True:
        status = place.platform.status()
        starting = any(one.state is State.STARTING for one in status.instances)
        if not starting or time.monotonic() + place.platform.pause > end:
            return status
        time.sleep(place.platform.pause)


def _hint(place: Place, state: State) -> str:
    typed = f"pyinfra {place.environment} deploys/{{}}.py --data service={place.service.name}"
    if state is State.STOPPED:
        return f"Type: {typed.format('start')}"
    return f"Look at its log. To go back: {typed.format('rollback')}; to start it anew: {typed.format('restart')}"


def _judged(check: ServicesRunning, instance: Instance, sick: str | None) -> Result:
    restarted = _restarted(check, instance)
    if restarted is None and sick is None:
        return Result(Outcome.PASS)
    passing = restarted is None and instance.state is State.STARTING
    said = " and ".join(words for words in (sick, restarted) if words)
    return Result(Outcome.WARN if passing else Outcome.FAIL, f"{instance.name} {said}")


def _restarted(check: ServicesRunning, instance: Instance) -> str | None:
    """What its platform did to it in the window, where it tells; of one that somebody stopped that does not matter."""
    if instance.restarts is None or instance.restarts <= check.restarts or instance.state is State.STOPPED:
        return None
    times = "once" if instance.restarts == 1 else f"{instance.restarts} times"
    if instance.since is None:
        return f"was restarted by itself {times}"
    age = (datetime.now(UTC) - instance.since).total_seconds()
    if age > (seconds(check.window) or 0):
        return None
    return f"was restarted by itself {times}, the last time {clock.age(max(age, 0))} ago"
