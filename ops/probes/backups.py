"""Whether one could restore: how old the backups are, when one was last proven, and whether they are as they were."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

from ops import clock
from ops.checks import Backups, Outcome, Result
from ops.checks.base import seconds
from ops.checks.limits import at_least
from ops.environment import Retention
from ops.errors import StoreError
from ops.lock import holder
from ops.probes.object_store import opened
from ops.storage import Directory
from ops.worker.catalogue import DRILL_LOCK, Backup, Catalogue, State
from ops.worker.request import Request
from ops.worker.retention import plan

DAY = 86400.0
BEFORE = 5
"""Backups before the newest whose median tells how large it should be."""
_NAMED = 3
"""Ids that a row shows; the rest is counted."""


def ask(check: Backups, at: Request) -> Iterable[Result]:
    """Each of the things that the check looks at, from one listing and the backups' own documents."""
    catalogue = Catalogue(opened(at, check.timeout), at.environment, at.database_name)
    backups = catalogue.all()
    take, drill = (f"Type: pyinfra {at.environment} deploys/{name}.py" for name in ("backup", "drill"))
    if check.newer_than is not None:
        yield _newest(backups, check.newer_than, take)
    if check.proven_within is not None:
        yield _proven(backups, check.proven_within, drill)
    yield from _size([backup for backup in backups if backup.sound], check)
    yield _damaged(backups)
    if check.kept and at.retention is not None:
        yield _kept(catalogue, backups, at.retention, take)
    if check.free is not None and isinstance(at.store, Directory):
        yield _free(Path(at.store.path), check.free)


def _newest(backups: Sequence[Backup], newer_than: str, hint: str) -> Result:
    limit = f"< {newer_than} old"
    newest = next((backup for backup in backups if backup.sound), None)
    if newest is None:
        there = f"; {len(backups)} damaged or failed" if backups else ""
        return Result(Outcome.FAIL, f"there is no backup{there}", limit, hint, "newest")
    return _aged(newest.age, newest.id, limit, seconds(newer_than), hint, "newest")


def _proven(backups: Sequence[Backup], within: str, hint: str) -> Result:
    limit = f"< {within} ago"
    ages = {backup.id: backup.proven_age for backup in backups if backup.proven_age is not None}
    # A proof that is from the future was dated by a wrong clock: it must not hide those that were not.
    proven = min(ages, key=lambda id: (ages[id] < -clock.SKEW, ages[id]), default=None)
    failed = [backup for backup in backups if backup.state is State.FAILED]
    latest = min(failed, key=_looked_at, default=None)
    if latest is not None and (proven is None or _looked_at(latest) < ages[proven]):
        assert latest.verification is not None
        value = f"the {latest.verification.kind} of {latest.id} failed: {'; '.join(latest.problems[:1])}"
        return Result(Outcome.FAIL, value, limit, hint, "proven")
    if proven is None:
        why = next((f": {backup.problems[0]}" for backup in backups if backup.sound and backup.problems), "")
        return Result(Outcome.FAIL, f"no backup is proven{why}", limit, hint, "proven")
    return _aged(ages[proven], proven, limit, seconds(within), hint, "proven")


def _looked_at(backup: Backup) -> float:
    """Seconds since its last drill or check."""
    assert backup.verification is not None
    return (clock.now() - clock.parse_iso(backup.verification.finished)).total_seconds()


def _aged(age: float, id: str, limit: str, most: float | None, hint: str, what: str) -> Result:
    if age < -clock.SKEW:
        value = f"{id} is dated {clock.age(-age)} ahead of the clock here"
        return Result(Outcome.FAIL, value, limit, "Look at the clocks", what)
    good = clock.within(age, most or 0.0)
    value = f"{clock.age(max(age, 0.0))} ({id})"
    return Result(Outcome.PASS if good else Outcome.FAIL, value, limit, "" if good else hint, what)


def _size(sound: Sequence[Backup], check: Backups) -> Iterator[Result]:
    """Of the newest, beside the median of those before it; two of them must be there to tell what is usual."""
    sizes = [backup.manifest.dump.size for backup in sound[: BEFORE + 1] if backup.manifest]
    if len(sizes) < 3 or (check.shrinks is None and check.grows is None):
        return
    newest, usual = sizes[0], median(sizes[1:])
    least = 0.0 if check.shrinks is None else usual * (1 - check.shrinks)
    most = float("inf") if check.grows is None else usual * (1 + check.grows)
    outcome = Outcome.FAIL if newest < least else Outcome.WARN if newest > most else Outcome.PASS
    value = f"{_megabytes(newest)}; the {len(sizes) - 1} before it: {_megabytes(usual)}"
    bounds = [f"≥ {_megabytes(least)}"] if check.shrinks is not None else []
    bounds += [f"≤ {_megabytes(most)}"] if check.grows is not None else []
    hint = "" if outcome is Outcome.PASS else "Look whether the tables have the rows that they should have"
    yield Result(outcome, value, ", ".join(bounds), hint, "size")


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.2f} MB" if size < 1e7 else f"{size / 1e6:,.0f} MB"


def _damaged(backups: Sequence[Backup]) -> Result:
    damaged = [backup for backup in backups if backup.state is State.DAMAGED]
    if not damaged:
        return Result(Outcome.PASS, f"none of {len(backups)}", "none", what="damaged")
    value = _listed([f"{backup.id}: {backup.problems[0]}" for backup in damaged])
    return Result(Outcome.FAIL, value, "none", "Look at it, then remove it by hand: retention never does", "damaged")


def _kept(catalogue: Catalogue, backups: Sequence[Backup], rules: Retention, hint: str) -> Result:
    """What a day ago no rule kept any more: what only the newest backups push out may yet be pruned with them."""
    drilling = holder(catalogue.store, catalogue.prefix + DRILL_LOCK)
    old = [backup for backup in backups if backup.age > DAY]
    letting_go = [verdict.id for verdict in plan(old, rules, drilling.get("backup") if drilling else None)
                  if not verdict.keep]  # fmt: skip
    unfinished = [id for id in catalogue.unfinished() if Backup(id, State.UNPROVEN).age > DAY]
    said = [f"no rule keeps {_listed(letting_go)}"] if letting_go else []
    said += [f"unfinished: {_listed(sorted(unfinished))}"] if unfinished else []
    if said:
        return Result(Outcome.WARN, "; ".join(said), "nothing older than a day", hint, "kept")
    return Result(Outcome.PASS, f"{len(backups)} by the retention rules", "nothing older than a day", what="kept")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _free(path: Path, share: float) -> Result:
    """Of the disk; the directory itself is made by the first backup."""
    try:
        usage = shutil.disk_usage(path if path.exists() else path.parent)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", "Look at the disk") from None
    return at_least(
        100 * usage.free / usage.total, 100 * share, unit=" %", what="free",
        hint="Make room, or let retention keep fewer backups",
    )  # fmt: skip
