"""Where services are, as seen from here, and asking in all these places at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial

from ops.checks.result import Result, unknown
from ops.environment import Environment
from ops.errors import ConfigurationError, OpsError
from ops.platforms import Platform, open_platform
from ops.platforms.shell import Shell
from ops.probes.around import Around
from ops.probes.bounded import Bounded
from ops.probes.pool import GRACE, Question, answers
from ops.services import OnHosts, Service


@dataclass(frozen=True)
class Place:
    """A service on one host, or on a cloud.

    Args:
        service: its description.
        environment: the name of the environment that it belongs to.
        shell: on the host; None on a cloud.
    """

    service: Service
    environment: str
    shell: Shell | None = None

    @property
    def where(self) -> str:
        """What tables call the place."""
        return self.shell.host if self.shell else str(self.service.kind)  # type: ignore[attr-defined]

    @property
    def platform(self) -> Platform:
        """Where it runs, opened."""
        return open_platform(self.service, self.shell)


def named(environment: Environment, names: Sequence[str]) -> list[Service]:
    """Services by their names; none: all that there are.

    Raises:
        ConfigurationError: there is none of that name, or none at all.
    """
    known: dict[str, Service] = {service.name: service for service in environment.services}
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise ConfigurationError(
                f"there is no service {name} in {environment.name}",
                f"{f'Did you mean {close[0]}? ' if close else ''}There are: {', '.join(known) or 'none'}",
            )
    if not known:
        raise ConfigurationError(
            f"the environment {environment.name} describes no services", "Write services=[…] in its inventory"
        )
    return [known[name] for name in names or known]


def everywhere(
    services: Iterable[Service], at: Around, timeout: float, ask: Callable[[Place], Iterable[Result]]
) -> list[Result]:
    """Ask in each place at the same time; what became of each, under the names of service and place.

    Args:
        services: which.
        at: leads to their hosts.
        timeout: seconds that the check has for all of it: who hangs keeps the others from nothing.
        ask: asks in one place; raises ``OpsError`` when nobody answers there.
    """
    # So much that it is over before the check itself is.
    each = max(timeout - GRACE, timeout / 2)
    found: list[Result] = []
    places: list[Place] = []
    for service in services:
        if not isinstance(service, OnHosts):
            places.append(Place(service, at.environment.name))
            continue
        try:
            shells = [Bounded(shell, each) for shell in at.shells(service.hosts)]
            places += [Place(service, at.environment.name, shell) for shell in shells]
        except OpsError as error:
            found.append(unknown(error.problem, error.hint, what=service.name))
    answered = answers([Question("", partial(ask, place), each, place.where) for place in places])
    for place, results in zip(places, answered, strict=True):
        found += [replace(one, what=place.service.name) for one in results]
    return found
