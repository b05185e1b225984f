"""Times as they stand in names and documents: UTC, ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ops.errors import ConfigurationError


def is_stamp(name: str) -> bool:
    """Whether a name is a time, as a backup's id is: the time it was begun."""
    try:
        return stamp(parse(name)) == name
    except ValueError:
        return False


def stamp(time: datetime) -> str:
    """A time for a name: ``2026-11-21T10-00-00Z``."""
    return time.strftime("%Y-%m-%dT%H-%M-%SZ")


def parse(stamp: str) -> datetime:
    """The time in a name.

    Raises:
        ValueError: it is none.
    """
    return datetime.strptime(stamp, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)


def parse_iso(time: str) -> datetime:
    """The time in a document.

    Raises:
        ValueError: it is none.
    """
    return datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def now() -> datetime:
    """Now, in UTC, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def iso(time: datetime) -> str:
    """A time for a document: ``2026-11-21T10:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def within(age: float, limit: float) -> bool:
    """Whether an age in seconds is below a limit. What is from the future was dated by a wrong clock, and never is."""
    return -SKEW <= age < limit


SKEW = 300
"""Seconds by which two honest clocks may differ."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration(text: str | int | float) -> float:
    """Seconds in ``90s``, ``15m``, ``20h``, ``7d`` or ``2w``. Only 0 needs no unit.

    Raises:
        ConfigurationError: it is nothing of the kind.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])|0", str(text).strip())
    if not found:
        raise ConfigurationError(f"{text!r} is no duration", "Write 90s, 15m, 20h, 7d or 2w")
    return float(found[1]) * _UNITS[found[2]] if found[1] else 0.0


def age(seconds: float) -> str:
    """An age for people: the two largest units."""
    for (unit, size), (small, part) in (
        (("d", 86400), ("h", 3600)),
        (("h", 3600), ("m", 60)),
        (("m", 60), ("s", 1)),
    ):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole}{unit} {rest // part}{small}" if rest // part else f"{whole}{unit}"
    return f"{int(seconds)}s"
