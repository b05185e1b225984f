"""Operations on services: show, restart, stop, start, activate a release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from pyinfra import host, inventory, state
from pyinfra.api.exceptions import NoGroupError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation

from ops import output, roll, runner
from ops.errors import (
    ConfigurationError,
    HostUnreachable,
    ReleaseMissing,
    ServiceError,
    ServiceMissing,
    ServiceUnhealthy,
)
from ops.hosts import HostShell
from ops.operations import board
from ops.platforms import Platform, State, open_platform
from ops.services import OnHosts, Service
from ops.steps import Step, Steps, guarded, plan
from ops.turns import Turns

_board = board.Board()
_turns: dict[int, Turns] = {}


def names(service: str | None = None) -> list[str]:
    """The names of the environment's services in the order in which they are started, or the one that is asked for.

    Raises:
        ServiceMissing: there is none of that name.
    """
    here = runner.environment()
    known = [one.name for one in here.services]
    if service is None:
        return known
    if service not in known:
        close = get_close_matches(service, known, n=1)
        raise ServiceMissing(
            f"there is no service {service} in {here.name}",
            f"{f'Did you mean {close[0]}? ' if close else ''}There are: {', '.join(known) or 'none'}",
        )
    return [service]


@operation()
@guarded
def look() -> Steps:
    """
    Ask every service on every host what serves, since when, and whether it is healthy; for ``show``. Never a change.
    """
    if state.is_executing:
        here = runner.environment()
        for service in here.services:
            if _is_here(service):
                shell = _shell(service)
                _board.add(board.row(service, host.name if shell else service.kind, shell))
    yield from ()


@operation()
@guarded
def show() -> Steps:
    """
    Print what ``look`` has found, as a table. Never a change; a failure when some service could not be asked.

    **Example:**

    .. code:: python

        services.look(name="Ask every service")
        services.show(name="Show the services")
    """
    if not state.is_executing or not runner.is_runner():
        return
    here = runner.environment()
    for service in here.services:
        for one in _gone(service):
            _board.add(board.Row(service.name, one.name, None, unknown=f"{one.name} could not be reached"))
    output.table(_board.render(f"services of {here.name}", names()))
    unknown = _board.unknown()
    if unknown:
        raise ServiceError(f"{', '.join(unknown)} could not be asked", "The reasons are below the table")
    yield from ()


@operation()
@guarded
def restart(service: str, batch: int | str = 1) -> Steps:
    """
    Restart a service, instance after instance, each of which must be healthy before the next is touched. The first that
    fails stops the whole roll: all that come after, on this host and others, are left as they are.

    + service: its name
    + batch: on how many hosts at once

    **Example:**

    .. code:: python

        services.restart(name="Restart the service", service="api", batch=2)
    """
    with _place(service, _turns_of(batch)) as turns:
        found = mine(service)
        if found is None:
            return
        described, platform, shell = found
        status = platform.status()
        instances = ", ".join(instance.name for instance in status.instances)
        words = f"Restart {service}: {instances}{f' (release {status.release})' if status.release else ''}"
        plan(words)
        yield Step(
            words, lambda: _in_turn(turns, service, lambda: roll.restarted(described, platform, shell, host.log))
        )


@operation()
@guarded
def stop(service: str) -> Steps:
    """
    Stop a service on all its hosts. No change where it is stopped.

    + service: its name
    """
    found = mine(service)
    if found is None:
        return
    _, platform, _ = found
    running = [one.name for one in platform.status().instances if one.state is not State.STOPPED]
    if not running:
        output.say(f"{service} is stopped already")
        return
    words = f"Stop {service}: {', '.join(running)}"
    plan(words)

    def do() -> None:
        for instance in running:
            platform.stop(instance)
        left = [one.name for one in platform.status().instances if one.state is not State.STOPPED]
        if left:
            raise ServiceError(f"{', '.join(left)} did not stop", "Look at its log")

    yield Step(words, do)


@operation()
@guarded
def start(service: str) -> Steps:
    """
    Start a service on all its hosts, and wait until it is healthy. No change where it runs.

    + service: its name
    """
    found = mine(service)
    if found is None:
        return
    described, platform, shell = found
    down = [one.name for one in platform.status().instances if one.state is not State.RUNNING]
    if not down:
        output.say(f"{service} runs already")
        return
    words = f"Start {service}: {', '.join(down)}"
    plan(words)
    yield Step(words, lambda: roll.started(described, platform, shell, host.log))


@operation()
@guarded
def activate(service: str, release: str, batch: int | str = 1) -> Steps:
    """
    Let another release serve, host after host, health-gated as a restart. No change where it serves.

    Before anything is changed on any host, every host must have the release.

    + service: its name
    + release: the platform's own name for it
    + batch: on how many hosts at once
    """
    with _place(service, _turns_of(batch)) as turns:
        found = mine(service)
        if found is None:
            return
        described, platform, shell = found
        known = [one.id for one in platform.releases()]
        if release not in known:
            raise ReleaseMissing(
                f"{host.name} has no release {release} of {service}", f"There are: {', '.join(known[:5]) or 'none'}"
            )
        status = platform.status()
        if status.release == release and all(one.release in (None, release) for one in status.instances):
            output.say(f"{service} is on release {release} already")
            return
        words = f"Activate release {release} of {service} (now {status.release or 'unknown'})"
        plan(words)

        def do() -> None:
            platform.activate(release)
            if platform.rolls:
                roll.restarted(described, platform, shell, host.log)

        yield Step(words, lambda: _in_turn(turns, service, do))


def mine(service: str) -> tuple[Service, Platform, HostShell | None] | None:
    """The service as far as the host at hand is concerned with it; None when it is not."""
    (name,) = names(service)
    described: Service = next(one for one in runner.environment().services if one.name == name)
    if not _is_here(described):
        return None
    gone = _gone(described)
    if gone:
        raise HostUnreachable(
            f"{', '.join(one.name for one in gone)} of {name} could not be reached, so nothing was done",
            "Look at it, or leave it out by naming the others: --limit …",
        )
    shell = _shell(described)
    return described, open_platform(described, shell), shell


def _is_here(service: Service) -> bool:
    """On a host of ours: whether the host at hand is one of them. On a cloud: the runner speaks for it."""
    if not isinstance(service, OnHosts):
        return runner.is_runner()
    try:
        inventory.get_group(service.hosts)
    except NoGroupError:
        raise ConfigurationError(
            f"the service {service.name} runs on the group {service.hosts}, which the inventory does not have",
            f'Write: {service.hosts} = environment.group("app-1.example.com")',
        ) from None
    return service.hosts in host.groups


def _gone(service: Service) -> list[Host]:
    """The hosts of a service that pyinfra could not connect to."""
    if not isinstance(service, OnHosts):
        return []
    return [one for one in inventory.get_group(service.hosts) if state.is_host_in_limit(one) and not one.connected]


def _shell(service: Service) -> HostShell | None:
    return HostShell(host) if isinstance(service, OnHosts) else None


def _turns_of(batch: int | str) -> Turns:
    """The turns of this run; one failure ends them for every service, because the later ones stand on the earlier."""
    try:
        at_once = int(batch)
    except ValueError:
        at_once = 0
    if at_once < 1:
        raise ConfigurationError(f"batch={batch} is no number of hosts", "Write --data batch=2")
    return _turns.setdefault(at_once, Turns(at_once))


@contextmanager
def _place(service: str, turns: Turns) -> Iterator[Turns]:
    """A place in the queue, in the inventory's order: taken before the host is asked anything, so none is too late."""
    if not state.is_executing:
        yield turns
        return
    with turns.queued(f"{service} on {host.name}", list(inventory).index(host)):
        yield turns


def _in_turn(turns: Turns, service: str, do: Callable[[], None]) -> None:
    who = f"{service} on {host.name}"
    with turns.one(who) as there_is_one:
        if not there_is_one:
            raise ServiceUnhealthy(f"{who} was left as it is, because {turns.failed} failed", "")
        do()
