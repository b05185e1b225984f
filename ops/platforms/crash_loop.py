"""Whether what runs is in a crash loop: half of the time it is up, and its platform calls it running."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RAN_WELL = timedelta(seconds=10)
"""How long one must have run for it to be forgotten that it died before: what Docker's restart policies take."""

NOW = "date '+now %s'\n"
"""A script that prints the line that ``now`` reads."""


def now(printed: str) -> datetime:
    """The time on a host, whose clock need not be ours, UTC; ours if the host could not tell."""
    found = re.search(r"^now (\d+)$", printed, re.MULTILINE)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else datetime.now(UTC)


def in_one(restarts: int, since: datetime, now: datetime) -> bool:
    """Whether something that runs is in a crash loop.

    Args:
        restarts: how often the platform started it anew by itself since somebody last started it.
        since: when what runs now was started.
        now: the time on the same clock.
    """
    return restarts > 0 and now - since < _RAN_WELL
