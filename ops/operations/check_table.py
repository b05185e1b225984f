"""The table of checks: the worst first, and of what passes no more than fits on a screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Any

from ops.checks import Outcome, Result
from ops.checks.result import by_severity
from ops.operations import table

_COLUMNS: dict[str, dict[str, Any]] = {
    "outcome": {"no_wrap": True},
    "check": {"overflow": "fold", "max_width": 34},
    "value": {"overflow": "fold"},
    "limit": {"overflow": "fold", "max_width": 24},
    "seconds": {"justify": "right", "no_wrap": True},
}
_WHOLE: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
"""Commands are copied from there."""
PASSED = 30
"""Rows of what passes that are shown; those of one check on several hosts are one row."""

BAD = 100
"""Rows of what does not pass that are shown."""
HINTS = 10
"""Different hints that are shown."""


def render(title: str, results: Iterable[Result], width: int = table.WIDTH) -> str:
    """The results as a table, at most ``width`` columns wide; below it what to do next, and how many there are."""
    ordered = by_severity(results)
    bad = [one for one in ordered if one.outcome is not Outcome.PASS]
    passed = list(_merged([one for one in ordered if one.outcome is Outcome.PASS]))
    rows = [_row(one) for one in (*bad[:BAD], *passed[:PASSED])]
    drawn = table.rendered(title, _COLUMNS, rows, width, "there is none")
    hints = [
        line
        for hint, names in list(_hints(bad).items())[:HINTS]
        for line in wrap(f"{', '.join(names[:3])}{_more(names[3:])}: {hint}", width, subsequent_indent="  ", **_WHOLE)
    ]
    more = [f"and {len(bad) - BAD} rows more that do not pass: --json shows them"] if len(bad) > BAD else []
    more += [f"and {len(passed) - PASSED} rows more that pass"] if len(passed) > PASSED else []
    return drawn + "\n".join([*more, *hints, counted(ordered)])


def counted(results: Sequence[Result]) -> str:
    """How many came to which outcome, in words."""
    found = Counter(one.outcome for one in results)
    return ", ".join(f"{found[outcome]} {outcome}" for outcome in Outcome if found[outcome]) or "no checks"


def _row(one: Result) -> list[str]:
    said = one.outcome.value if one.outcome is Outcome.PASS else one.outcome.value.upper()
    return [said, one.full_name, one.value, one.limit, f"{one.seconds:.2f}"]


def _more(names: Sequence[str]) -> str:
    return f" and {len(names)} more" if names else ""


def _hints(bad: Iterable[Result]) -> dict[str, list[str]]:
    """What to do next, and what that is for."""
    found: dict[str, list[str]] = {}
    for one in bad:
        names = found.setdefault(one.hint, [])
        names += [one.name] if one.name not in names else []
    found.pop("", None)
    return found


def _merged(passed: list[Result]) -> Iterable[Result]:
    """One row for a check that passes on several hosts alike."""
    for _, group in groupby(passed, key=lambda one: (one.check, one.what)):
        same = list(group)
        hosts = [one.where for one in same]
        if len(same) > 3 and all(hosts):
            slowest = max(one.seconds for one in same)
            yield Result(
                Outcome.PASS, "each within its limit", same[0].limit, "", same[0].what, same[0].check,
                f"{len(same)} hosts", slowest,
            )  # fmt: skip
        else:
            yield from same
