"""Since when a process runs, and where: from ``/proc``, because ``ps`` is not on every host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

# Field 22 of /proc/PID/stat, counted behind the name, which may hold anything: proc(5).
SCRIPT = r"""
began() {
  while read -r key boot; do [ "$key" != btime ] || break; done < /proc/stat
  tick=$(getconf CLK_TCK 2>/dev/null || echo 100)
  for pid; do
    { read -r stat < "/proc/$pid/stat"; } 2>/dev/null || continue
    echo "began $pid $boot $(set -f; set -- ${stat##*) }; echo "${20}") $tick $(readlink "/proc/$pid/cwd")"
  done
}
"""
"""Defines a shell function that prints a line for each process id it is given."""


@dataclass(frozen=True)
class Process:
    """A running process.

    Args:
        since: when it was started, UTC.
        directory: the one that it works in; empty when that may not be seen.
    """

    since: datetime
    directory: str


def read(printed: str) -> dict[int, Process]:
    """What ``began`` printed, by process id; other lines are passed over."""
    found = re.findall(r"^began (\d+) (\d+) (\d+) (\d+) ?(.*)$", printed, re.MULTILINE)
    return {
        int(pid): Process(datetime.fromtimestamp(int(boot) + int(ticks) / int(tick), UTC), directory)
        for pid, boot, ticks, tick, directory in found
    }
