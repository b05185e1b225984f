"""A number against its limits."""

from __future__ import annotations

import math

from ops.checks.result import Outcome, Result


def at_most(
    value: float | None,
    limit: float | None,
    *,
    warn: float | None = None,
    unit: str = "",
    what: str = "",
    hint: str = "",
) -> Result:
    """A number that must not be larger than its limit.

    Args:
        value: what was found; None, or not a number: it is unknown.
        limit: the largest that passes; None: none fails.
        warn: the largest of which nobody is warned; None: nobody is.
        unit: stands behind the numbers, such as ``" %"`` or ``" s"``.
        what: see ``Result``.
        hint: what to do when it does not pass.
    """
    return _judged(value, limit, warn, 1, unit, what, hint)


def at_least(
    value: float | None,
    limit: float | None,
    *,
    warn: float | None = None,
    unit: str = "",
    what: str = "",
    hint: str = "",
) -> Result:
    """A number that must not be smaller than its limit; see ``at_most``."""
    return _judged(value, limit, warn, -1, unit, what, hint)


def _judged(
    value: float | None, limit: float | None, warn: float | None, bad: int, unit: str, what: str, hint: str
) -> Result:
    """The sign of what is beyond a limit is ``bad``."""
    shown = limit if limit is not None else warn
    said = "" if shown is None else f"{'≤' if bad > 0 else '≥'} {number(shown)}{unit}"
    if value is None or math.isnan(value):
        return Result(Outcome.UNKNOWN, "no value", said, hint, what)
    outcome = Outcome.PASS
    if limit is not None and (value - limit) * bad > 0:
        outcome = Outcome.FAIL
    elif warn is not None and (value - warn) * bad > 0:
        outcome = Outcome.WARN
    return Result(outcome, f"{number(value)}{unit}", said, "" if outcome is Outcome.PASS else hint, what)


def number(value: float) -> str:
    """For people: no more digits than they read."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
