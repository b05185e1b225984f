"""How many lines of a log on a host match a pattern. They are counted there: a log may hold secrets, and gigabytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from shlex import quote

from ops.checks import Log, Outcome, Result
from ops.checks.limits import number
from ops.checks.result import unknown
from ops.clock import duration
from ops.platforms.pm2 import Pm2Platform
from ops.platforms.shell import Ran, Shell
from ops.probes import log_lines
from ops.services import Pm2

_MAY = "May the user that connects read it?"


def ask(check: Log, at: Shell) -> Iterator[Result]:
    """See ``ops.probes``."""
    since = duration(check.since)
    limit = f"≤ {number(check.at_most)} in {check.since}"
    paths: list[str] = []
    if check.unit:
        script = log_lines.journal(check.pattern, since, check.unit)
    else:
        paths = [check.file] if check.file else _of_pm2(check, at)
        if not paths:
            yield unknown(f"pm2 writes no log of {check.process}", "Look at its out_file and error_file: pm2 show")
            return
        script = log_lines.files(check.pattern, since, paths)
    ran = at.run(script, check.timeout)
    problem = _problem(check, ran)
    if problem:
        yield problem
        return
    now, count, last = _number("now", ran.out), _number("count", ran.out), _number("last", ran.out)
    value = f"{number(count)} line{'' if count == 1 else 's'}"
    if count:
        value += f", the last at {_time(last, now)}"
    begins = _number("begins", ran.out)
    if count > check.at_most:
        shown = " ".join(map(quote, paths))
        look = f"tail -n 10000 {shown}" if shown else f"journalctl -u {check.unit} --since=-{check.since} -o cat"
        hint = f"On the host: {look} | grep -E -e {quote(check.pattern)}"
        yield Result(Outcome.FAIL, value, limit, hint)
    elif begins > now - since:
        yield Result(Outcome.WARN, f"{value}, but the journal begins only at {_time(begins, now)}", limit,
                     "When the host is older than that: Storage= and SystemMaxUse= in journald.conf")  # fmt: skip
    else:
        yield Result(Outcome.PASS, value, limit)


def _of_pm2(check: Log, at: Shell) -> list[str]:
    process = check.process or ""
    service = Pm2(name="log", hosts=check.hosts, process=process, home=check.home, command=check.command)
    return list(Pm2Platform(service, at).log_files())


def _problem(check: Log, ran: Ran) -> Result | None:
    """Why the count is not to be trusted; None when it is."""
    if ran.code == log_lines.REFUSED:
        return unknown(f"grep refuses the pattern: {ran.said.removeprefix('grep: ')}", "Look at pattern=")
    if ran.code == log_lines.NO_JOURNAL:
        return unknown("there is no journalctl", "Does systemd run there? Else write file=…")
    if re.search(r"not seeing messages from other users|insufficient permissions", ran.err):
        return unknown("the user that connects may not read the whole journal", "Add them to the group systemd-journal")
    if re.search("^broken ", ran.out, re.MULTILINE) or not re.search(r"^count \d", ran.out, re.MULTILINE):
        return unknown(f"the log cannot be read: {ran.said}", _MAY)
    if check.unit:
        return _of_journal(check.unit, ran)
    for word, why, hint in (
        ("absent", "there is no {}", "Look at file= in the inventory"),
        ("untimed", "no line of {} has a time that could be read", "Let it write them in ISO 8601; pm2: time: true"),
        ("closed", "{} cannot be read", _MAY),
    ):
        found = re.search(rf"^{word} (.*)$", ran.out, re.MULTILINE)
        if found:
            return unknown(why.format(found[1]), hint)
    return None


def _of_journal(unit: str, ran: Ran) -> Result | None:
    state = re.search(r"^unit (.*)$", ran.out, re.MULTILINE)
    if state is None or " " in state[1] or not state[1]:
        return unknown(f"systemd does not answer: {state[1] if state else ran.said}", "Does systemd run there?")
    # What was removed a moment ago has left its lines.
    if state[1] == "not-found" and not _number("count", ran.out):
        return unknown(f"systemd has no unit {unit}", "Look at unit= in the inventory")
    if not _number("begins", ran.out):
        return unknown("the journal has no line at all", "Does journald keep any? Look at Storage= in journald.conf")
    return None


def _number(word: str, printed: str) -> int:
    found = re.search(rf"^{word} (\d+)$", printed, re.MULTILINE)
    return int(found[1]) if found else 0


def _time(seconds: int, now: int) -> str:
    """In UTC; with the date where it is another day than now."""
    shown, today = datetime.fromtimestamp(seconds, UTC), datetime.fromtimestamp(now, UTC)
    return f"{shown:%H:%M:%SZ}" if shown.date() == today.date() else f"{shown:%Y-%m-%d %H:%M:%SZ}"
