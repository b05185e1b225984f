"""A command of the user's own, on a host."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable
from typing import Any

from ops.checks import Outcome, Program, Result
from ops.checks.result import unknown
from ops.errors import printable
from ops.platforms.shell import Ran, Shell

_NOT_RUN = {126: "it cannot be executed", 127: "it was not found"}


def ask(check: Program, at: Shell) -> Iterable[Result]:
    """By its exit code, or as the last line that it prints says."""
    return [_judged(at.run(check.command, check.timeout))]


def _judged(ran: Ran) -> Result:
    if ran.code in _NOT_RUN:
        return unknown(f"{_NOT_RUN[ran.code]}: {_short(ran.said)}", "Look at the command")
    if name := _signal(ran.code):
        return unknown(f"it was ended by {name}", "Run it by hand on the host")
    told = _told(ran.out)
    if told is not None:
        return _as_told(told, ran.code)
    if ran.code == 0:
        return Result(Outcome.PASS, _short(Ran(0, ran.out, "").said), "exit code 0")
    last = _short(ran.said)
    said = "" if last == f"exit code {ran.code}" else f": {last}"
    return Result(Outcome.FAIL, f"exit code {ran.code}{said}", "exit code 0", "Run it by hand on the host")


def _signal(code: int) -> str | None:
    """As a shell tells it: 128 and its number."""
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return None


def _told(printed: str) -> dict[str, Any] | None:
    """What the last line says, when it is an object with an outcome."""
    lines = [line for line in printed.splitlines() if line.strip()]
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and "outcome" in found else None


def _as_told(told: dict[str, Any], code: int) -> Result:
    outcomes = [outcome.value for outcome in Outcome]
    if told["outcome"] not in outcomes:
        return unknown(f"its outcome is {_short(str(told['outcome']))!r}", f"It must be one of {', '.join(outcomes)}")
    if told["outcome"] == Outcome.PASS and code:
        return unknown(f"it says pass, and ends with exit code {code}", "Run it by hand on the host")
    value, limit, hint, what = (_short(str(told.get(name, ""))) for name in ("value", "limit", "hint", "what"))
    return Result(Outcome(told["outcome"]), value, limit, hint, what)


def _short(text: str) -> str:
    return printable(text)[:300]
