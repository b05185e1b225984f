"""Which backups go, and why. Pure: decides, removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ops import clock
from ops.environment import Retention
from ops.worker.catalogue import Backup, State

PERIODS: dict[str, Callable[[datetime], str]] = {
    "hourly": lambda time: time.strftime("%Y-%m-%d %H:00"),
    "daily": lambda time: time.strftime("%Y-%m-%d"),
    "weekly": lambda time: time.strftime("week %G-%V"),
    "monthly": lambda time: time.strftime("%Y-%m"),
}


@dataclass(frozen=True)
class Verdict:
    """What becomes of one backup, and why."""

    id: str
    keep: bool
    why: str


def plan(backups: Sequence[Backup], rules: Retention, in_use: str | None = None) -> list[Verdict]:
    """Judge every backup.

    The newest proven backup always stays, and nothing goes while no proven backup would remain.

    Args:
        backups: all there are, newest first.
        rules: the environment's retention.
        in_use: a backup that a drill is reading now.
    """
    reasons = _reasons([backup for backup in backups if backup.sound], rules)
    proven = [backup.id for backup in backups if backup.state is State.PROVEN]
    if proven:
        reasons.setdefault(proven[0], []).append("newest proven")
    if in_use:
        reasons.setdefault(in_use, []).append("a drill is reading it")
    return [_judge(backup, reasons.get(backup.id, []), proven) for backup in backups]


def _reasons(sound: Sequence[Backup], rules: Retention) -> dict[str, list[str]]:
    """Why each backup stays, by the rules alone."""
    reasons: dict[str, list[str]] = {}
    for place, backup in enumerate(sound[: rules.newest], start=1):
        reasons.setdefault(backup.id, []).append(f"newest {place} of {rules.newest}")
    for rule, period_of in PERIODS.items():
        periods: dict[str, str] = {}
        for backup in sound:
            periods.setdefault(period_of(clock.parse(backup.id)), backup.id)
        for period, id in list(periods.items())[: getattr(rules, rule)]:
            reasons.setdefault(id, []).append(f"{rule} {period}")
    return reasons


def _judge(backup: Backup, reasons: list[str], proven: list[str]) -> Verdict:
    if reasons:
        return Verdict(backup.id, True, ", ".join(reasons))
    if not proven:
        return Verdict(backup.id, True, "no backup is proven yet, so nothing goes")
    if backup.state is State.DAMAGED:
        return Verdict(backup.id, True, f"damaged ({backup.problems[0]}): look at it, then remove it by hand")
    if backup.state is State.FAILED:
        if backup.id < proven[0]:
            return Verdict(backup.id, False, "failed its proof, and a newer one is proven")
        return Verdict(backup.id, True, "failed its proof, and no newer one is proven")
    return Verdict(backup.id, False, "no retention rule keeps it")
