"""What every platform can do: the one interface between a service's description and the place where it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ops.errors import ServiceMissing


class State(StrEnum):
    """How an instance is, as its platform says; whether it is healthy is asked for separately."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Instance:
    """One process, container, machine or revision that serves, or should.

    Args:
        name: what the platform calls it: a unit, a process, a machine's id.
        state: whether it runs.
        since: when what runs now was started, UTC; None when it does not run or the platform does not tell.
        release: what it runs; None when that cannot be known.
        restarts: how often the platform has started it anew by itself since somebody last started it; None where the
            platform does not tell.
    """

    name: str
    state: State
    since: datetime | None = None
    release: str | None = None
    restarts: int | None = None


@dataclass(frozen=True)
class Release:
    """A version of the service.

    Args:
        id: the platform's own name for it: a directory, an image, a deployment.
        served: when it last began to serve, UTC; None when it is there but is not known to have served.
    """

    id: str
    served: datetime | None


@dataclass(frozen=True)
class Status:
    """What serves now.

    Args:
        instances: each of them, in the order in which they are restarted.
        release: what is to serve; instances that were not restarted since may run another.
        since: when that release began to serve, UTC.
    """

    instances: tuple[Instance, ...]
    release: str | None = None
    since: datetime | None = None

    @property
    def state(self) -> State:
        """The worst of all instances'."""
        found = {instance.state for instance in self.instances}
        order = (State.FAILED, State.STOPPED, State.STARTING)
        return next((state for state in order if state in found), State.RUNNING if found else State.STOPPED)

    def of(self, name: str) -> Instance:
        """The instance of that name.

        Raises:
            ServiceMissing: it is gone.
        """
        for instance in self.instances:
            if instance.name == name:
                return instance
        there = ", ".join(instance.name for instance in self.instances)
        raise ServiceMissing(f"there is no instance {name} any more", f"There are: {there or 'none'}")


class Platform(ABC):
    """A service where it runs: on one host, or on a cloud as a whole.

    Every method may raise ``ServiceError``, or ``HostUnreachable`` and ``PlatformUnreachable`` when nobody answered.
    None of them waits for health: who rolls a service does, after each instance.
    """

    @abstractmethod
    def status(self) -> Status:
        """What serves now. Changes nothing, and asks as few questions as it can."""

    @abstractmethod
    def releases(self) -> list[Release]:
        """What could be gone back to, newest first, by when it served; the one that serves is the first.

        Empty where a service has no releases.
        """

    def overview(self) -> tuple[Status, list[Release]]:
        """``status`` and ``releases``, for who wants both: in one question where the platform can be asked so."""
        return self.status(), self.releases()

    @abstractmethod
    def restart(self, instance: str) -> None:
        """Start one instance anew, on the release that is to serve; one that is stopped is started."""

    @abstractmethod
    def start(self, instance: str) -> None:
        """Start one instance; no change when it runs."""

    @abstractmethod
    def stop(self, instance: str) -> None:
        """Stop one instance; no change when it is stopped."""

    @abstractmethod
    def activate(self, release: str) -> bool:
        """Let another release be the one that is to serve; it serves once the instances are restarted.

        On platforms that switch all at once, the clouds, it serves when this returns.

        Args:
            release: the id of one of ``releases``.

        Returns:
            Whether anything changed: False when that release was the one already.

        Raises:
            ReleaseMissing: there is no such release; nothing was changed.
        """

    @abstractmethod
    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """The last lines of the service's log, oldest first.

        Args:
            since: none that are older.
            lines: at most so many.
            instance: of this one alone, where the platform keeps them apart; None: of all.
        """

    @abstractmethod
    def missing(self, names: list[str]) -> list[str]:
        """Those of the names for which the service is given no secret or setting. No value is read or shown."""

    pause = 0.25
    """Seconds between two looks at the status while it is waited for; more where an API counts its requests."""
    dated = True
    """Whether the lines of its log have times, so that ``logs`` can leave out what is older."""
    page = 1_000_000
    """Lines of its log that it gives at most, however many are asked for."""

    @property
    def rolls(self) -> bool:
        """Whether ``activate`` only names the release, and each instance must be restarted to serve it."""
        return True
