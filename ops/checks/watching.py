"""What a watch waits for: checks that stay bad for longer than a blip."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ops.checks.base import Age
from ops.clock import duration
from ops.described import Described


class Trigger(Described):
    """A check that fails for so long that something must be done.

    Args:
        check: its name, with ``: what`` behind it for one of several things that it looks at.
        lasting: for how long it must fail in every round, without one that passes; 0s: once is enough.
        unknown: whether a round in which it is unknown counts as one in which it fails.
    """

    check: Annotated[str, Field(min_length=1)]
    lasting: Age = "2m"
    unknown: bool = False

    @property
    def seconds(self) -> float:
        """For how long."""
        return duration(self.lasting)

    def __str__(self) -> str:
        return f"{self.check} for {self.lasting}"


class Watch(Described):
    """How an environment is watched, and what is done when a trigger holds.

    Args:
        every: time from the begin of one round to the begin of the next, at least 1 s.
        triggers: any of them ends the watch as a failure.
        rollback: what ``release.py`` does then: ``offer`` prints the command, ``automatic`` goes back by itself.
    """

    every: Age = "15s"
    triggers: tuple[Trigger, ...] = ()
    rollback: Literal["offer", "automatic"] = "offer"

    @field_validator("every")
    @classmethod
    def _not_without_a_pause(cls, every: str) -> str:
        if duration(every) < 1:
            raise ValueError("it must be at least 1s")
        return every
