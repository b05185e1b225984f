"""Operations on maintenance mode: a page from nginx, with 503 and Retry-After, while what is behind it is worked on."""

from __future__ import annotations

from pyinfra import state
from pyinfra.api.operation import operation

from ops import output, runner
from ops.errors import ConfigurationError, ServiceError
from ops.operations import places
from ops.platforms import maintenance
from ops.services import Nginx
from ops.steps import Step, Steps, guarded, plan


def wanted(mode: str | None) -> bool:
    """Whether maintenance is to be on, as ``--data mode=…`` says.

    Raises:
        ConfigurationError: it says neither.
    """
    if mode not in ("on", "off"):
        raise ConfigurationError(
            f"mode={mode} is neither on nor off" if mode else "it is not said whether maintenance is to be on or off",
            "Write --data mode=on, or --data mode=off",
        )
    return mode == "on"


def fronts(service: str | None = None) -> list[tuple[str, bool]]:
    """The services that go into maintenance, and whether each has a page for it; the others are stopped.

    Args:
        service: the one that is asked for; none: every nginx, or where there is none every service.
    """
    described = {one.name: isinstance(one, Nginx) for one in runner.environment().services}
    if service is not None:
        return [(name, described[name]) for name in places.names(service)]
    return [(name, page) for name, page in described.items() if page] or list(described.items())


def in_order(service: str | None, on: bool) -> list[tuple[str, bool]]:
    """``fronts`` in the order in which they are turned: what is stopped is stopped the last one first."""
    return fronts(service)[:: -1 if on else 1]


@operation()
@guarded
def page(service: str, on: bool) -> Steps:
    """
    Let nginx answer 503 with a page and Retry-After to everything but the health path, or no longer.

    + service: the name of an nginx
    + on: whether it is to do so
    """
    yield from turning(service, on)


def turning(service: str, on: bool) -> Steps:
    """The steps of ``page``."""
    found = places.mine(service)
    if found is None:
        return
    described, shell = found.service, found.shell
    if not isinstance(described, Nginx) or shell is None:
        raise ServiceError(f"{service} is no nginx, so it has no maintenance page", "Stop it instead")
    if maintenance.mode(shell, described) is on:
        if on and state.is_executing:
            maintenance.prepare(shell, described)  # the page may be on, and not be looked for any more
        output.say(f"maintenance of {service} is {'on' if on else 'off'} already")
        return
    words = f"Turn maintenance of {service} {'on' if on else 'off'}"
    plan(words)
    yield Step(words, lambda: maintenance.turn(shell, described, on))
