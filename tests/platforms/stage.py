"""A service that really runs somewhere, for the contract suite: what a test must be able to do to it from outside."""

from __future__ import annotations

import importlib.util
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from ops.platforms import Platform
from ops.platforms.shell import Shell
from ops.services import Service


class Stage(ABC):
    """One service with three releases, ``one``, ``two`` and ``three``, which served in that order; ``three`` serves.

    It has the setting or secret ``PRESENT``, and none called ``ABSENT``. Its ``within`` and ``settle`` are short.
    """

    service: Service
    shell: Shell | None = None
    host: str | tuple[str, dict[str, Any]] = "@local"
    """Where it runs, as an inventory names it."""
    entrance: tuple[str, ...] = ()
    """Words before a command that has to reach it."""
    stops: bool = True
    """Whether the platform can stop a service at all."""
    releases: tuple[str, str, str] = ("one", "two", "three")
    """What the platform itself calls them."""

    @property
    @abstractmethod
    def platform(self) -> Platform:
        """The platform, opened anew."""

    @abstractmethod
    def serving(self) -> list[str]:
        """Which release each instance really serves, asked past the platform: over HTTP, or of the stand-in."""

    @abstractmethod
    def breaks(self) -> None:
        """From now on whatever is started dies soon after."""

    @abstractmethod
    def crash(self) -> None:
        """Let the service be one that has crashed and will not come back by itself."""

    @abstractmethod
    def unknown(self) -> Platform:
        """The platform opened for a service that does not exist."""

    @abstractmethod
    def writes(self) -> object:
        """Anything that is equal before and after when nothing was changed meanwhile."""


def loaded(kind: str) -> Any:
    """The module that builds a platform's stage."""
    name = f"stage_of_{kind}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "stages" / f"{kind}.py")
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
