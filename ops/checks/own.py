"""Checks that the user writes: a function, or a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainSerializer

from ops.checks.base import Check, OnEachHost, Place


class Function(Check):
    """A function of the inventory's: it takes nothing and returns a ``Result`` or several. It must only read.

    A function that stands among the checks as it is becomes one of these, under its own name. An assertion that does
    not hold fails, with its text; any other exception is unknown, and so is whatever is returned that is no ``Result``.
    It is called in a thread of the system's, where it can start no program: for that there is ``Program``.

    Args:
        call: the function.
    """

    kind: Literal["function"] = "function"
    place: ClassVar[Place] = Place.HERE

    call: Annotated[Callable[[], Any], PlainSerializer(repr, return_type=str, when_used="json")]

    def subject(self) -> str:
        """See ``Check``."""
        return str(getattr(self.call, "__name__", "function")).replace("_", " ")[:60]


class Program(OnEachHost):
    """A command on hosts. It must only read.

    Exit code 0 passes; 126, 127 and a signal are unknown; any other fails. When the last line that it prints is a
    JSON object with ``outcome``, that is the result, as ``{"outcome": "warn", "value": "3 GB", "limit": "≤ 2 GB"}``;
    with ``hint`` and ``what`` if it likes. ``pass`` with another exit code than 0 is unknown.

    Args:
        command: for ``sh``.
        hosts: the group of the inventory.
    """

    kind: Literal["program"] = "program"
    preflight: ClassVar[bool] = False

    command: Annotated[str, Field(min_length=1)]
    hosts: str = "runner"

    def subject(self) -> str:
        """See ``Check``."""
        return " ".join(self.command.replace(":", " ").split())[:60].strip()
