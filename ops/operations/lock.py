"""Operations on the environment's lock: show it, take it by hand, break it."""

from __future__ import annotations

from typing import Any

from pyinfra import state
from pyinfra.api.operation import operation

from ops import clock, environment_lock, output, runner
from ops.confirmation import confirmed
from ops.environment_lock import Reservation
from ops.errors import ConfigurationError
from ops.owner import owner
from ops.steps import Step, Steps, on_runner, plan


@operation()
@on_runner
def show() -> Steps:
    """
    Say who is at work on the environment, and who keeps it by hand. Never a change.

    **Example:**

    .. code:: python

        lock.show(name="Show the lock")
    """
    if state.is_executing:
        here = runner.environment().name
        held, reserved = environment_lock.look()
        for line in _told(held, reserved) or [f"nobody is at work on {here}, and nobody keeps it"]:
            output.say(line)
    yield from ()


@operation()
@on_runner
def take(lasting: str, reason: str | None) -> Steps:
    """
    Keep the environment by hand, so that nobody else changes it; for longer, when it is one's own already.

    + lasting: for how long, such as ``2h``
    + reason: what others are told

    **Example:**

    .. code:: python

        lock.take(name="Take the lock", lasting="2h", reason="the provider moves the database")
    """
    seconds = clock.duration(lasting)
    if not reason:
        raise ConfigurationError("it is not said why the lock is taken", 'Add --data reason="…", for those who wait')
    if seconds <= 0:
        raise ConfigurationError(f"take={lasting} is no time at all", "Write --data take=2h")
    words = f"Keep {runner.environment().name} for {owner()} for {clock.age(seconds)}: {reason}"
    plan(words)
    yield Step(words, lambda: environment_lock.reserve(seconds, str(reason)), alone=False)


@operation()
@on_runner
def break_(sure: str | bool, confirm: str | int | None = None) -> Steps:
    """
    Take the lock away from whoever has it. No change where nobody has it.

    + sure: yes
    + confirm: the environment's name, when it is protected

    **Example:**

    .. code:: python

        lock.break_(name="Break the lock", sure="yes", confirm="prod")
    """
    if sure not in ("yes", True):
        raise ConfigurationError(f"break={sure} does not say yes", "Write --data break=yes")
    here = runner.environment()
    told = _told(*environment_lock.look())
    if not told:
        output.say(f"nobody is at work on {here.name}, and nobody keeps it")
        return
    confirmed(here, confirm)
    words = f"Break the lock of {here.name}, although {' and '.join(told)}"
    plan(words)
    yield Step(words, environment_lock.break_, alone=False)


def _told(held: dict[str, Any] | None, reserved: Reservation | None) -> list[str]:
    lines = []
    if held:
        known = "started" in held  # else it cannot be read
        since = f" since {held['started']} (process {held.get('pid')} on {held.get('host')})" if known else ""
        lines.append(f"{held.get('owner')} holds it for {held.get('reason')}{since}")
    if reserved:
        lines.append(str(reserved))
    return lines
