"""Operations on services: show, restart, stop, start, activate a release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pyinfra import host, inventory, state
from pyinfra.api.operation import operation

from ops import environment_lock, host_lock, output, recorder, roll, runner
from ops.errors import ConfigurationError, ReleaseMissing, ServiceError, ServiceUnhealthy
from ops.operations import board, places, revision
from ops.operations.places import Place
from ops.platforms import State, Status
from ops.steps import Step, Steps, guarded, plan
from ops.turns import Turns

_board = board.Board()
_turns = Turns()
"""Of this run: one failure ends them for every service, because the later ones stand on the earlier."""
_turns_back = Turns()
"""Of the way back: what failed on the way out, in the same run, does not end them."""


@operation()
@guarded
def look() -> Steps:
    """
    Ask every service on every host what serves, since when, and whether it is healthy; for ``show``. Never a change.
    """
    if state.is_executing:
        for service in runner.environment().services:
            if places.is_here(service):
                shell = places.shell_of(service)
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
        for one in places.unreachable(service):
            _board.add(board.Row(service.name, one.name, None, unknown=f"{one.name} could not be reached"))
    output.table(_board.render(f"services of {here.name}", places.names()))
    output.attach("services", _board.to_json())
    unknown = _board.unknown()
    if unknown:
        raise ServiceError(f"{', '.join(unknown)} could not be asked", "The reasons are below the table")
    yield from ()


@operation()
@guarded
def find(services: list[str]) -> Steps:
    """
    See that services are where the inventory says they are. Never a change; whatever is wrong on any host keeps the
    operations after this one from changing anything on all.

    + services: their names

    **Example:**

    .. code:: python

        services.find(name="Find the services", services=["db", "api"])
        services.restart(name="Restart the database", service="db")
        services.restart(name="Restart the service", service="api")
    """
    with _queued("the look at the services"):
        for service in services:
            found = places.mine(service)
            if found is not None and state.is_executing:
                found.platform.status()
    yield from ()


@operation()
@guarded
def well() -> Steps:
    """
    See that every service that is not stopped is healthy, or becomes so within its time. Never a change.

    **Example:**

    .. code:: python

        services.well(name="See that the services are well")
    """
    for service in places.names() if state.is_executing else ():
        found = places.mine(service)
        if found is not None:
            roll.well(found.service, found.platform, found.shell)
            output.say(f"{found.who} is well")
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
    at_once = hosts_at_once(batch)
    with _queued(service):
        found = places.mine(service)
        if found is None:
            return
        status = found.platform.status()
        instances = ", ".join(instance.name for instance in status.instances)
        words = f"Restart {service}: {instances}{f' (release {status.release})' if status.release else ''}"
        plan(words)

        def do() -> None:
            _restarted(found)
            if status.release:
                recorder.released(service, status.release, revision.current())

        with _alone(found):
            yield _in_turn(words, found, status, at_once, do)


@operation()
@guarded
def stop(service: str) -> Steps:
    """
    Stop a service on all its hosts. No change where it is stopped.

    + service: its name
    """
    found = places.mine(service)
    if found is None:
        return
    _refuse_after_failure(found)
    platform = found.platform
    up = [one.name for one in platform.status().instances if one.state is not State.STOPPED]
    if not up:
        output.say(f"{service} is stopped already")
        return
    words = f"Stop {service}: {', '.join(up)}"
    plan(words)

    def do() -> None:
        for instance in up:
            platform.stop(instance)
        # One that has failed does not run; one that is started again and again would be seen as starting.
        left = [one.name for one in platform.status().instances if one.state in (State.RUNNING, State.STARTING)]
        if left:
            raise ServiceError(f"{', '.join(left)} did not stop", "Look at its log")

    with _alone(found):
        yield Step(words, do)


@operation()
@guarded
def start(service: str) -> Steps:
    """
    Start a service on all its hosts, and wait until it is healthy. No change where it runs and is healthy.

    + service: its name
    """
    with _queued(service):
        found = places.mine(service)
        if found is None:
            return
        status = found.platform.status()
        if not status.instances:
            raise ServiceError(f"{service} has no instance that could be started", "Deploy it first")
        down = [one.name for one in status.instances if one.state is not State.RUNNING]
        if not down:
            sick = [
                f"{one.name} {wrong}"
                for one, wrong in zip(status.instances, _problems(found, status), strict=True)
                if wrong and state.is_executing
            ]
            if sick:
                raise ServiceUnhealthy(f"{service} runs, but is not healthy: {'; '.join(sick)}", "Restart it")
            output.say(f"{service} runs already")
            return
        words = f"Start {service}: {', '.join(down)}"
        plan(words)
        with _alone(found):
            yield _in_turn(
                words,
                found,
                status,
                len(list(inventory)),
                lambda: roll.started(found.service, found.platform, found.shell, host.log),
            )


@operation()
@guarded
def activate(service: str, release: str | int, batch: int | str = 1) -> Steps:
    """
    Let another release serve, host after host, health-gated as a restart. No change where it serves.

    Before anything is changed on any host, every host must have the release.

    + service: its name
    + release: the platform's own name for it
    + batch: on how many hosts at once
    """
    yield from activating(service, release_name(release), hosts_at_once(batch))


def activating(service: str, release: str, at_once: int, back: bool = False) -> Steps:
    """The steps of ``activate``, for an operation that finds out the release by itself.

    Args:
        service: its name.
        release: the platform's own name for it.
        at_once: on how many hosts.
        back: whether that is a way back.
    """
    turns = _turns_back if back else _turns
    with _queued(service, turns):
        found = places.mine(service)
        if found is None:
            return
        platform = found.platform
        status, releases = platform.overview()
        known = [one.id for one in releases]
        if release not in known:
            raise ReleaseMissing.among(f"{service} on {host.name}", release, known)
        # Of one whose release cannot be seen it is not known that it serves this one.
        serving = all(
            one.state is State.RUNNING and (one.release == release or not platform.rolls) for one in status.instances
        )
        if status.release == release and serving:
            output.say(f"{service} is on release {release} already")
            if state.is_executing:
                recorder.released(service, release, revision.current(), back)
            return
        words = f"Activate release {release} of {service} (now {status.release or 'unknown'})"
        plan(words)

        def do() -> None:
            recorder.know(releases={service: {"from": status.release, "to": release}})
            if not platform.activate(release) or platform.rolls:
                _restarted(found)
            recorder.released(service, release, revision.current(), back)

        with _alone(found):
            yield _in_turn(words, found, status, at_once, do, turns)


def _restarted(found: Place) -> None:
    roll.restarted(found.service, found.platform, found.shell, host.log)


def _problems(found: Place, status: Status) -> list[str | None]:
    return roll.problems(found.service, status, found.shell)


def release_name(release: str | int) -> str:
    """What a release is called: pyinfra makes numbers of what looks like one.

    Raises:
        ConfigurationError: of this one it has made another.
    """
    if isinstance(release, (float, bool)):
        raise ConfigurationError(f"release={release} was read as a number", "Write it in quotes: release='\"1.10\"'")
    return str(release)


def hosts_at_once(batch: int | str) -> int:
    """The number that ``--data batch=…`` says.

    Raises:
        ConfigurationError: it says none.
    """
    try:
        at_once = int(batch)
    except ValueError:
        at_once = 0
    if at_once < 1:
        raise ConfigurationError(f"batch={batch} is no number of hosts", "Write --data batch=2")
    return at_once


@contextmanager
def _queued(service: str, turns: Turns = _turns) -> Iterator[None]:
    """A place in the queue, taken before the host is asked anything, so that nobody begins too early."""
    with ExitStack() as stack:
        if state.is_executing:
            stack.enter_context(turns.queued(f"{service} on {host.name}"))
        yield


@contextmanager
def _alone(found: Place) -> Iterator[None]:
    """Nobody else may be at work on the service on this host. A cloud has rules of its own."""
    with ExitStack() as stack:
        if state.is_executing and found.shell is not None:
            name = f"{runner.environment().name}-{found.service.name}"
            stack.enter_context(host_lock.held(found.shell, name))
        yield


def _in_turn(
    words: str, found: Place, status: Status, at_once: int, do: Callable[[], None], turns: Turns = _turns
) -> Step:
    """A step that waits for its turn; where the service is not well it comes first, for nothing is lost there."""
    well = not state.is_executing or not any(_problems(found, status))

    def wait_and_do() -> None:
        with turns.one(found.who, (well, list(inventory).index(host)), at_once):
            _refuse_after_failure(found, turns)
            environment_lock.hold()  # it may have been taken away while the others had their turns
            do()

    return Step(words, wait_and_do)


def _refuse_after_failure(found: Place, turns: Turns = _turns) -> None:
    if turns.failed:
        raise ServiceUnhealthy(f"{found.who} was left as it is, because {turns.failed} failed", "")
