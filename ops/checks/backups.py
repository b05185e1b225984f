"""Checks of the backups, and of the store in which they lie."""

from __future__ import annotations

from typing import ClassVar, Literal

from ops.checks.base import Age, Check, Place, Share


class Backups(Check):
    """Whether one could restore. Each limit that is None is not looked at.

    Args:
        newer_than: the age that the newest backup may have (the RPO).
        proven_within: the age that the newest proof by a restore may have.
        shrinks: share by which the newest may be smaller than the median of those before it.
        grows: share by which it may be larger.
        kept: whether to see that nothing is kept that no retention rule keeps, and nothing unfinished lies about for
            longer than a day.
        free: share of the disk that must be free, where the store is a directory.
    """

    kind: Literal["backups"] = "backups"
    place: ClassVar[Place] = Place.RUNNER

    newer_than: Age | None = "26h"
    proven_within: Age | None = "8d"
    shrinks: Share | None = 0.3
    grows: float | None = 2.0
    kept: bool = True
    free: Share | None = 0.1

    def subject(self) -> str:
        """See ``Check``."""
        return "backups"


class ObjectStore(Check):
    """Whether the store can be reached and read with the keys that the environment has. Writing is not tried."""

    kind: Literal["object_store"] = "object_store"
    place: ClassVar[Place] = Place.RUNNER
    preflight: ClassVar[bool] = True

    def subject(self) -> str:
        """See ``Check``."""
        return "store"
