"""Where the services of an environment are, as seen by the host at hand."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from pyinfra import host, inventory, state
from pyinfra.api.exceptions import NoGroupError
from pyinfra.api.host import Host

from ops import runner
from ops.errors import ConfigurationError, HostUnreachable, ServiceMissing
from ops.hosts import HostShell
from ops.platforms import Platform, open_platform
from ops.services import OnHosts, Service


@dataclass(frozen=True)
class Place:
    """A service where the host at hand can reach it.

    Args:
        service: its description.
        platform: where it runs.
        shell: on the host; None on a cloud.
    """

    service: Service
    platform: Platform
    shell: HostShell | None

    @property
    def who(self) -> str:
        """The service in this place, in words."""
        return f"{self.service.name} on {host.name}"


def names(service: str | int | float | None = None) -> list[str]:
    """The names of the environment's services in the order in which they are started, or the one that is asked for.

    Raises:
        ServiceMissing: there is none of that name.
    """
    here = runner.environment()
    known = [one.name for one in here.services]
    if service is None:
        return known
    name = str(service)  # pyinfra makes a number of what looks like one
    if name not in known:
        close = get_close_matches(name, known, n=1)
        raise ServiceMissing(
            f"there is no service {name} in {here.name}",
            f"{f'Did you mean {close[0]}? ' if close else ''}There are: {', '.join(known) or 'none'}",
        )
    return [name]


def mine(service: str) -> Place | None:
    """The service as far as the host at hand is concerned with it; None when it is not.

    Raises:
        HostUnreachable: one of its hosts could not be reached, so that nothing is to be done on the others.
    """
    (name,) = names(service)
    described: Service = next(one for one in runner.environment().services if one.name == name)
    if not is_here(described):
        return None
    lost = unreachable(described)
    if lost:
        raise HostUnreachable(
            f"{', '.join(one.name for one in lost)} of {name} could not be reached, so nothing was done",
            "Look at it, or leave it out by naming the others: --limit …",
        )
    shell = shell_of(described)
    return Place(described, open_platform(described, shell), shell)


def is_here(service: Service) -> bool:
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


def unreachable(service: Service) -> list[Host]:
    """The hosts of a service that pyinfra could not connect to."""
    if not isinstance(service, OnHosts):
        return []
    return [one for one in inventory.get_group(service.hosts) if state.is_host_in_limit(one) and not one.connected]


def shell_of(service: Service) -> HostShell | None:
    """On the host at hand; None for a cloud."""
    # Not the host of the moment: another thread may run a script as well.
    return HostShell(inventory.get_host(host.name)) if isinstance(service, OnHosts) else None
