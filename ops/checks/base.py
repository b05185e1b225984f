"""What every check has."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ops.clock import duration
from ops.described import Described

CheckName = Annotated[
    str,
    Field(
        pattern=r"^[^\s:](?:[^\n\r\t:]{0,58}[^\s:])?$", description="1 to 60 characters on one line, without a colon"
    ),
]
Share = Annotated[float, Field(gt=0, le=1)]
Age = Annotated[str, Field(pattern=r"^\d+(\.\d+)?[smhdw]$", description="a duration: 90s, 15m, 20h, 7d or 2w")]

Need = Literal["database", "store"]


class Place(StrEnum):
    """From where a check is asked."""

    RUNNER = "runner"
    """By the worker, on the host that data is moved from."""
    HOSTS = "hosts"
    """By a script, on each host of a group."""
    HERE = "here"
    """From where pyinfra was typed, which reaches the clouds and, by pyinfra, every host."""


class Check(Described):
    """Something that must be true of an environment; asking it changes nothing.

    Args:
        name: how it is called in tables, triggers and ``--data check=…``; none: what it asks.
        timeout: seconds after which it is unknown.
    """

    place: ClassVar[Place]
    needs: ClassVar[tuple[Need, ...]] = ()
    """What of the environment it is about, whose secrets must be there for it to be asked."""
    preflight: ClassVar[bool] = False
    """Whether it must be true before a release as well, when the services may be what is broken."""

    name: CheckName | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 10

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.subject()

    def subject(self) -> str:
        """What it asks, in a few words."""
        raise NotImplementedError


class OnEachHost(Check):
    """A check that is asked on each host of a group.

    Args:
        hosts: the group of the inventory.
    """

    place: ClassVar[Place] = Place.HOSTS
    preflight: ClassVar[bool] = True

    hosts: str


def seconds(age: str | None) -> float | None:
    """A duration in seconds; None stays None."""
    return None if age is None else duration(age)
