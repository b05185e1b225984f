"""What a check that is asked from here can reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.environment import Environment
from ops.platforms.shell import Shell


@dataclass(frozen=True)
class Around:
    """An environment as seen from where pyinfra was typed.

    Args:
        environment: its description.
        shells: those on the hosts of a group; that of one that could not be connected to only says so.
        worker: asks a verb of the worker on the first host of a group: ``worker("runner", "list")``.
    """

    environment: Environment
    shells: Callable[[str], list[Shell]]
    worker: Callable[..., dict[str, Any]]
