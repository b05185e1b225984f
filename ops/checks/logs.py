"""Checks of logs: how often a pattern stands in one since a time."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ops.checks.base import Age, Check, OnEachHost, Place
from ops.services import AbsolutePath, Id

Pattern = Annotated[str, Field(min_length=1, description="a regular expression")]
Count = Annotated[int, Field(ge=0)]


class Log(OnEachHost):
    """How many lines of a log on hosts of ours match a pattern.

    Args:
        pattern: an extended regular expression (POSIX, as ``grep -E`` takes it).
        since: for how long lines count; a file's lines must begin with a time in ISO 8601 or syslog's form, and those
            without one belong to the line before them.
        at_most: how many there may be.
        unit: of systemd, whose journal is read.
        file: to be read.
        process: of pm2, whose log files are read.
    """

    kind: Literal["log"] = "log"
    preflight: ClassVar[bool] = False

    pattern: Pattern
    since: Age = "1h"
    at_most: Count = 0
    unit: Id | None = None
    file: AbsolutePath | None = None
    process: Id | None = None

    def subject(self) -> str:
        """See ``Check``."""
        return f"log of {self.unit or self.file or self.process}"[:60]

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(one is not None for one in (self.unit, self.file, self.process)) != 1:
            raise ValueError("write one of unit=…, file=… and process=…")
        return self


class ServiceLog(Check):
    """How many lines of a service's log match a pattern, wherever it runs: asked of its platform, clouds' too.

    Args:
        service: its name in the inventory.
        pattern: a regular expression (Python's).
        since: for how long lines count.
        at_most: how many there may be.
        lines: that are read at most; more than that, and it is unknown.
    """

    kind: Literal["service_log"] = "service_log"
    place: ClassVar[Place] = Place.HERE

    service: str
    pattern: Pattern
    since: Age = "1h"
    at_most: Count = 0
    lines: Annotated[int, Field(ge=1, le=100_000)] = 10_000

    def subject(self) -> str:
        """See ``Check``."""
        return f"log of {self.service}"[:60]

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return pattern
