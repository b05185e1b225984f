"""The branches on Neon that this software makes: what they are called, what they are for, and how long they stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ops import clock

if TYPE_CHECKING:
    from ops.clouds.neon_resources import Branch

RESTORE_POINT, REHEARSAL, BACKUP, REFRESH = "restore-point", "rehearsal", "backup", "refresh"
PURPOSES = {
    RESTORE_POINT: "the state before a migration, to go back to",
    REHEARSAL: "a copy that migrations are rehearsed on, gone when that ends",
    BACKUP: "beside the backups in the store, and gone with its project",
    REFRESH: "what a refresh reads from, gone when that ends",
}
REHEARSED, READ = timedelta(hours=2), timedelta(hours=6)
"""How long the branch of a rehearsal or of a refresh may stay when nobody is left to delete it."""
LONGEST = timedelta(days=30)
"""Neon lets none expire later."""
_STAMP = len("2026-11-21T10-00-00Z")
_BEFORE = "-before-"


@dataclass(frozen=True)
class Made:
    """What the name of a branch says.

    Args:
        purpose: one of ``PURPOSES``.
        environment: for which it was made.
        time: when.
    """

    purpose: str
    environment: str
    time: datetime

    def __str__(self) -> str:
        return f"ops-{self.purpose}-{self.environment}-{clock.stamp(self.time)}"


def made(name: str) -> Made | None:
    """What the name of a branch says; None: it is not one of ours."""
    time = _stamped(name)
    purpose = next((one for one in PURPOSES if name.startswith(f"ops-{one}-")), None)
    if time is None or purpose is None:
        return None
    environment = name.removeprefix(f"ops-{purpose}-")[: -_STAMP - 1]
    return Made(purpose, environment, time) if environment else None


def expiry(now: datetime, kept: timedelta) -> datetime:
    """When a branch expires that is kept so long: Neon's clock may be behind ours."""
    return now + min(kept, LONGEST - timedelta(seconds=clock.SKEW))


def of(environment: str, purpose: str, among: Iterable[Branch]) -> list[Branch]:
    """The branches that were made for an environment and a purpose, in the order in which they are given."""
    return [
        one for one in among
        if (its := made(one.name)) is not None and (its.environment, its.purpose) == (environment, purpose)
    ]  # fmt: skip


def kept_name(branch: str, stamp: str) -> str:
    """What the content is called that a branch had before it was restored."""
    return f"{branch}{_BEFORE}{stamp}"


def kept(name: str, branch: str | None = None) -> datetime | None:
    """When a branch was restored whose content until then is kept under this name; None: it is no such name.

    Args:
        name: of the kept one.
        branch: which was restored; None: whichever.
    """
    time, restored = _stamped(name), name[: -_STAMP - len(_BEFORE)]
    if time is None or not restored or name != kept_name(restored, name[-_STAMP:]):
        return None
    return time if branch in (None, restored) else None


def content(branch: Branch) -> datetime:
    """The time of what is in a branch, unless somebody has written to it since."""
    its = made(branch.name)
    return kept(branch.name) or (its.time if its else None) or branch.at or branch.created


def past(branch: Branch, restore_points: float, now: datetime) -> bool:
    """Whether one of ours is past its rule: what says when it expires stays until then, and longer if need be.

    Args:
        branch: made by this software.
        restore_points: seconds that those to go back to are kept.
        now: the time.
    """
    if branch.expires is not None:
        return branch.expires < now
    its = made(branch.name)
    rules = {RESTORE_POINT: timedelta(seconds=restore_points), REHEARSAL: REHEARSED, REFRESH: READ}
    return its is not None and its.purpose in rules and its.time + rules[its.purpose] < now


def _stamped(name: str) -> datetime | None:
    stamp = name[-_STAMP:]
    return clock.parse(stamp) if clock.is_stamp(stamp) else None
