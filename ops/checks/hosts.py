"""Checks of hosts: what they have left, their clock, tools and settings."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ops.checks.base import OnEachHost, Share
from ops.services import AbsolutePath


class Host(OnEachHost):
    """What a host has left. Each limit that is None is not looked at.

    Args:
        disk: share of every file system on a disk, and of its inodes, that may be used.
        memory: share that may be used; what the kernel can give back counts as free.
        load: of five minutes, for each processor.
        clock: seconds by which its clock may differ from the one where pyinfra was typed.
        mounts: the file systems that are looked at; none: all that are on a disk or in memory and can be written.
    """

    kind: Literal["host"] = "host"

    disk: Share | None = 0.9
    memory: Share | None = 0.9
    load: Annotated[float, Field(gt=0)] | None = 2.0
    clock: Annotated[float, Field(gt=0)] | None = 5.0
    mounts: tuple[AbsolutePath, ...] = ()

    def subject(self) -> str:
        """See ``Check``."""
        return "host"


class Tool(OnEachHost):
    """The version of a program on hosts, such as node, psql or redis-server.

    Args:
        command: the program, by name or path.
        at_least: the oldest version that will do.
        below: the version that is too new already; none: none is.
        argument: with which it tells its version.
    """

    kind: Literal["tool"] = "tool"

    command: Annotated[str, Field(pattern=r"^[A-Za-z0-9/._+-]+$", description="a program's name or path")]
    at_least: str | None = None
    below: str | None = None
    argument: Annotated[str, Field(pattern=r"^[A-Za-z0-9=-]+$", description="such as --version")] = "--version"

    def subject(self) -> str:
        """See ``Check``."""
        return self.command.rpartition("/")[2][:60]


class Settings(OnEachHost):
    """Names that must be set in an environment file on hosts. No value is read or shown.

    Args:
        file: of NAME=value lines.
        names: that must be there with a value.
    """

    kind: Literal["settings"] = "settings"
    preflight: ClassVar[bool] = True

    file: AbsolutePath
    names: Annotated[tuple[str, ...], Field(min_length=1)]

    def subject(self) -> str:
        """See ``Check``."""
        return f"settings in {self.file}"[:60]
