"""Times as they stand in names and documents: UTC, ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ops.errors import ConfigurationError

ID = re.compile(r"^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ$")
"""A backup's id is the time it was begun."""


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


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration(text: str | int | float) -> float:
    """Seconds in ``90s``, ``15m``, ``20h``, ``7d`` or ``2w``; a bare number is seconds.

    Raises:
        ConfigurationError: it is nothing of the kind.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", str(text).strip())
    if not found:
        raise ConfigurationError(f"{text!r} is no duration", "Write 90s, 15m, 20h, 7d or 2w")
    return float(found[1]) * _UNITS[found[2] or "s"]


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
