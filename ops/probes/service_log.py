"""How many lines of a service's log match a pattern. None is shown: lines of logs hold tokens and names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from ops import clock
from ops.checks import Outcome, Result, ServiceLog
from ops.checks.base import seconds
from ops.checks.result import unknown
from ops.probes.around import Around
from ops.probes.places import Place, everywhere, named

_SHORT = 100
"""Characters of a line: of the log of a program whose lines are longer supervisord gives fewer than were asked for."""


def ask(check: ServiceLog, at: Around) -> Iterable[Result]:
    """One result for each place of the service."""
    found = everywhere(named(at.environment, [check.service]), at, check.timeout, partial(_count, check))
    return [replace(one, what="") for one in found]


def _count(check: ServiceLog, place: Place) -> Iterable[Result]:
    platform = place.platform
    platform.status()  # of what is not there, or does not answer, many a log is empty
    most = min(check.lines + 1, platform.page)
    lines = platform.logs(datetime.now(UTC) - timedelta(seconds=seconds(check.since) or 0), most)
    if not lines and not platform.logs(lines=1):
        return [unknown("its log has no line at all", "Does it log there, and may it be read? Look at its log")]
    matching = [line for line in lines if re.search(check.pattern, line)]
    value = f"{len(matching)} line{'' if len(matching) == 1 else 's'}{_last(matching)}"
    limit = f"≤ {check.at_most} in {check.since}"
    less = "Write a shorter since=…" if platform.dated else "Write Log(…) for it, or rotate it"
    if len(matching) > check.at_most and not platform.dated:
        return [unknown(f"{value}, but its log does not tell since when", less)]
    if len(matching) > check.at_most:
        return [Result(Outcome.FAIL, value, limit, "Look at its log")]
    if len(lines) >= most or (not platform.dated and sum(map(len, lines)) >= _SHORT * most):
        return [unknown(f"{value}, among the last {len(lines)}, which is all that was read", less)]
    return [Result(Outcome.PASS, value, limit)]


def _last(matching: list[str]) -> str:
    """When the last of them was written, where it begins with a time and its zone."""
    try:
        age = (datetime.now(UTC) - datetime.fromisoformat(matching[-1].split()[0])).total_seconds()
    except (ValueError, IndexError, TypeError):
        return ""
    return f", the last {clock.age(max(age, 0))} ago"
