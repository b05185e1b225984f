"""The plan of a rollback: where every service goes, and what becomes of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.errors import ConfigurationError
from ops.ways import Way

STRATEGIES = ("auto", "keep", "revert", "restore", "branch")
"""What may become of the database."""


@dataclass(frozen=True)
class Plan:
    """What a rollback will do.

    Args:
        ways: of every service.
        database: what becomes of the database: ``keep``, ``revert``, ``restore`` or ``branch``.
        migration: the revision that the releases expect; None: not known, or the database stays.
        undo: the migrations since then, newest first, as the worker tells of them; None: not known.
        loss: what a restore, or going back to a branch, would lose, as the worker tells; None: neither is done.
        took: seconds of the last rollback that was done; None: there was none.
        at_once: on how many hosts a service goes back at the same time.
        restored: whether the database has gone back already, in a run that was cut: that it has is proved, and no more.
    """

    ways: tuple[Way, ...]
    database: str
    migration: str | None = None
    undo: tuple[Mapping[str, Any], ...] | None = None
    loss: Mapping[str, Any] | None = None
    took: float | None = None
    at_once: int = 1
    restored: bool = False

    def way(self, service: str) -> Way | None:
        """Of one service; None when it is not looked at."""
        return next((one for one in self.ways if one.service == service), None)

    @property
    def source(self) -> str | None:
        """The backup or the branch that takes the database's place; None: it stays."""
        if self.loss is None:
            return None
        return str(self.loss["branch"]["name"] if self.database == "branch" else self.loss["backup"]["id"])

    @property
    def essence(self) -> tuple[object, ...]:
        """What somebody has agreed to who has seen it."""
        undo = None if self.undo is None else [one["id"] for one in self.undo]
        ways = [(way.service, way.serving, way.to) for way in self.ways]
        return ways, self.database, self.migration, undo, self.source

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.database != "keep" or any(way.to is not None for way in self.ways)


def strategy(asked: str, release: str, undo: Sequence[Mapping[str, Any]] | None, on_neon: bool = False) -> str:
    """What becomes of the database.

    Args:
        asked: one of ``STRATEGIES``.
        release: what is gone back to, for words.
        undo: the migrations since that served, newest first, with ``impact``; None: not known.
        on_neon: whether there may be a branch to go back to.

    Raises:
        ConfigurationError: it must be said, and is not; or it cannot be done.
    """
    if asked not in STRATEGIES:
        raise ConfigurationError(f"database={asked} is not known", f"Write one of: {', '.join(STRATEGIES)}")
    instead = f"Restore a backup: --data database=restore{', or a branch: database=branch' if on_neon else ''}"
    branch = "branch (Neon's restore point), " if on_neon else ""
    breaking = [one for one in undo or () if one["impact"] != "additive"]
    if asked == "auto":
        if undo is None:
            raise ConfigurationError(
                f"it is not known which migrations were applied since {release} served",
                f"Say what becomes of the database: --data database=keep (nothing), {branch}revert or restore",
            )
        if breaking:
            raise ConfigurationError(
                f"{', '.join(one['id'] for one in breaking)} would break {release}: {_reason(breaking[0])}",
                "Say what becomes of the database: "
                f"--data database=revert (undo them), {branch}restore (a backup), or keep",
            )
        return "keep"
    if asked == "revert":
        if undo is None:
            raise ConfigurationError(
                f"it is not known to which migration {release} belongs, so none can be undone",
                instead,
            )
        stuck = [one["id"] for one in undo if not one["has_down"]]
        if stuck:
            raise ConfigurationError(
                f"{', '.join(stuck)} cannot be undone: there is no way back",
                instead,
            )
        return "revert" if undo else "keep"
    return asked


def _reason(undo: Mapping[str, Any]) -> str:
    reasons = [str(one) for one in undo.get("reasons", ())]
    return "; ".join(reasons[:2]) or str(undo["impact"])
