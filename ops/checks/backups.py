"""Checks of the backups, and of the store in which they lie."""

from __future__ import annotations

from typing import ClassVar, Literal

from ops.checks.base import Age, Check, Need, Place, Share


class Backups(Check):
    """Whether one could restore. Each limit that is None is not looked at.

    Args:
        newer_than: the age that the newest backup may have (the RPO).
        proven_within: the age that the newest proof by a restore may have. A drill that failed since then fails too.
        shrinks: share by which the newest may be smaller than the median of the five before it. Of fewer than two
            nobody knows.
        grows: share by which it may be larger, before it is a warning.
        kept: whether to warn of what no retention rule has kept for a day, and of what has been unfinished for a day.
        free: share of the disk that must be free, where the store is a directory.
    """

    kind: Literal["backups"] = "backups"
    needs: ClassVar[tuple[Need, ...]] = ("database", "store")
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
    needs: ClassVar[tuple[Need, ...]] = ("store",)
    place: ClassVar[Place] = Place.RUNNER
    preflight: ClassVar[bool] = True

    def subject(self) -> str:
        """See ``Check``."""
        return "store"
