"""What a host has left, and how its clock goes: one script, whatever is looked at."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator

from ops.checks import Host, Outcome, Result
from ops.checks.limits import number
from ops.checks.result import unknown
from ops.platforms.shell import Shell
from ops.probes import disks

_LOCALE = "LC_ALL=C; export LC_ALL\n"
_CLOCK = 'echo "clock $(date +%s.%N)"\n'
_MEMORY = "sed -n 's/^\\(MemTotal\\|MemAvailable\\): */memory \\1 /p' /proc/meminfo\n"
_LOAD = (
    'echo "load $(cut -d " " -f 2 /proc/loadavg) '
    '$(getconf _NPROCESSORS_ONLN 2>/dev/null || grep -c ^processor /proc/cpuinfo)"\n'
)


def ask(check: Host, at: Shell) -> Iterator[Result]:
    """See ``ops.probes``."""
    asked = (_MEMORY if check.memory else "") + (_LOAD if check.load else "")
    script = _LOCALE + _CLOCK + (disks.script(check) if check.disk else "") + asked + _CLOCK
    began = time.time()
    printed = at.run(script, check.timeout).out
    ended = time.time()
    if check.disk:
        yield from disks.results(check, printed)
    if check.memory:
        yield _memory(check.memory, printed)
    if check.load:
        yield _load(check.load, printed)
    if check.clock:
        yield _clock(check.clock, printed, began, ended)


def _memory(limit: float, printed: str) -> Result:
    found = {name: int(size) for name, size in re.findall(r"^memory (\w+) (\d+) kB$", printed, re.MULTILINE)}
    if "MemAvailable" not in found or not found.get("MemTotal"):
        return unknown("/proc/meminfo does not tell", "Is it Linux 3.14 or newer?", what="memory")
    used = 1 - found["MemAvailable"] / found["MemTotal"]
    left = number(found["MemAvailable"] * 1024 / 1e6)
    return _judged(used > limit, f"{number(used * 100)} % used, {left} MB left", f"≤ {number(limit * 100)} %",
                   "On the host: ps -eo rss,pid,args --sort=-rss | head", "memory")  # fmt: skip


def _load(limit: float, printed: str) -> Result:
    found = re.search(r"^load ([\d.]+) (\d+)$", printed, re.MULTILINE)
    if found is None or not int(found[2]):
        return unknown("/proc/loadavg does not tell", "Is it Linux?", what="load")
    load, processors = float(found[1]) / int(found[2]), int(found[2])
    shared = f"each of {processors} processors" if processors > 1 else "the one processor"
    return _judged(load > limit, f"{number(load)} for {shared}", f"≤ {number(limit)}",
                   "On the host: top -b -n 1 | head -20; vmstat 1 5", "load")  # fmt: skip


def _clock(limit: float, printed: str, began: float, ended: float) -> Result:
    """As NTP does it: what the script itself took is no part of the way there and back, of which we know the sum."""
    times = re.findall(r"^clock (\d+)(\.\d+)?", printed, re.MULTILINE)
    if len(times) != 2:
        return unknown("its date does not tell", "Is there a date in PATH?", what="clock")
    # Not every date knows parts of a second: then it is half a second later, give or take as much.
    coarse = any(not part for _, part in times)
    first, last = (float(whole + part) if part else int(whole) + 0.5 for whole, part in times)
    ahead = ((first - began) + (last - ended)) / 2
    doubt = max(0.0, (ended - began) - (last - first)) / 2 + (0.5 if coarse else 0.0)
    value = f"{_seconds(ahead)} {'ahead of' if ahead > 0 else 'behind'} ours, give or take {_seconds(doubt)}"
    said = f"≤ {number(limit)} s"
    if abs(ahead) - doubt <= limit < abs(ahead) + doubt:
        return Result(Outcome.UNKNOWN, f"{value}: the answer took too long to tell", said,
                      "Run this again; when it stays, look why the host is slow", "clock")  # fmt: skip
    return _judged(abs(ahead) > limit, value, said,
                   "Which of the two is wrong? On the host, and here: timedatectl", "clock")  # fmt: skip


def _judged(bad: bool, value: str, limit: str, hint: str, what: str) -> Result:
    return Result(Outcome.FAIL if bad else Outcome.PASS, value, limit, hint if bad else "", what)


def _seconds(value: float) -> str:
    """Upwards, to hundredths: nobody measures better than that from afar."""
    return f"{number(math.ceil(abs(value) * 100) / 100)} s"
