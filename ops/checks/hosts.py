"""Checks of hosts: what they have left, their clock, tools and settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ops.checks.base import OnEachHost, Share
from ops.services import AbsolutePath

Version = Annotated[
    Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")] | None, Field(description="a version such as 18 or 14.2")
]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Host(OnEachHost):
    """What a host has left. Each limit that is None is not looked at.

    Args:
        disk: share of every file system, and of its inodes, that may be used. One that can only be read although
            ``/etc/fstab`` mounts it for writing fails as well.
        memory: share that may be used; what the kernel can give back counts as free.
        load: of five minutes, for each processor.
        clock: seconds by which its clock may differ from the one where pyinfra was typed.
        mounts: where the file systems are mounted that are looked at, which fail when they are not; none: all on a
            local disk or in memory that can be written. One of a network is looked at only when it is named here.
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
        argument: with which it tells its version; none: ``--version``, or what is known of the program.
    """

    kind: Literal["tool"] = "tool"

    command: Annotated[str, Field(pattern=r"^[A-Za-z0-9/._][A-Za-z0-9/._+-]*$", description="a program's name or path")]
    at_least: Version = None
    below: Version = None
    argument: Annotated[str, Field(pattern=r"^[A-Za-z0-9=-]+$", description="such as --version")] | None = None

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

    file: AbsolutePath
    names: Annotated[tuple[Variable, ...], Field(min_length=1)]

    def subject(self) -> str:
        """See ``Check``."""
        return f"settings in {self.file}"[:60]
