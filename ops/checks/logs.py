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
    """How many lines of a log on hosts of ours match a pattern. They are counted there, and none is shown.

    Lines of a file need a time: at their beginning, in ISO 8601 or as syslog writes it, as web servers write it in
    their access logs, or as the ``time`` of a JSON object. Those without one belong to the line before them, and a
    time without a zone is in the host's. What was rotated away in that time (``FILE.1``, ``FILE.1.gz``,
    ``FILE-20261121``) counts as well. pm2 writes times with ``time: true`` only.

    Args:
        pattern: an extended regular expression (POSIX, as ``grep -E`` takes it).
        since: for how long lines count, by the host's own clock.
        at_most: how many there may be.
        unit: of systemd, whose journal is read.
        file: to be read.
        process: of pm2, whose log files are read.
        home: ``PM2_HOME``; none: ``~/.pm2`` of the user that connects.
        command: pm2, where it is not in PATH.
    """

    kind: Literal["log"] = "log"
    preflight: ClassVar[bool] = False

    pattern: Pattern
    since: Age = "1h"
    at_most: Count = 0
    unit: Id | None = None
    file: AbsolutePath | None = None
    process: Id | None = None
    home: AbsolutePath | None = None
    command: str = "pm2"

    def subject(self) -> str:
        """See ``Check``."""
        return f"log of {self.unit or self.file or self.process}"[:60]

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(one is not None for one in (self.unit, self.file, self.process)) != 1:
            raise ValueError("write one of unit=…, file=… and process=…")
        return self


class ServiceLog(Check):
    """How many lines of a service's log match a pattern, wherever it runs: asked of its platform, clouds' too. None is
    shown.

    The logs of pm2 and supervisord have no times of their own: of them it is only known that there are not too many.
    A cloud gives no more than 1000 lines at once, and Fly 50: where there are more, choose a shorter time.

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
