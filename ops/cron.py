"""A job as cron has it, where there is no systemd."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from ops.clock import duration
from ops.errors import ConfigurationError
from ops.schedule import Job
from ops.site import Site

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHORT = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EXPRESSION = re.compile(
    r"(?:(?P<weekday>[A-Za-z][A-Za-z.,]*) +)?"
    r"(?:(?:\*-)?(?P<month>[\d*,./]+)-(?P<day>[\d*,./]+) *)?"
    r"(?:(?P<hour>[\d*,./]+):(?P<minute>[\d*,./]+)(?::0?0)?)?"
)


def crontab(site: Site, jobs: Sequence[Job]) -> str:
    """The file for ``/etc/cron.d`` with all jobs of an environment.

    Raises:
        ConfigurationError: cron cannot say when one of them runs.
    """
    variables = {**site.variables(), "CREDENTIALS_DIRECTORY": site.secrets_directory, "STATE_DIRECTORY": site.state}
    lines = [site.headline(), "SHELL=/bin/sh", f"PATH={PATH}", 'MAILTO=""']
    lines += [f'{name}="{value}"' for name, value in variables.items()]
    return "\n".join([*lines, *(line(site, job) for job in jobs)]) + "\n"


def line(site: Site, job: Job) -> str:
    """The line of one job: nothing is caught up that was missed, and it ends by force where systemd would end it."""
    words = [
        *("flock", "--nonblock", "--no-fork", site.lock(job)),
        *("nice", "-n", str(job.nice), "ionice", *(("-c", "3") if job.io == "idle" else ("-c", "2", "-n", "7"))),
        *("timeout", "--kill-after=60", str(site.patience(job))),
        *site.command(job),
    ]
    wait = f"sleep $(shuf -i 0-{round(duration(job.delay))} -n 1); " if duration(job.delay) else ""
    command = f"cd {shlex.quote(site.project)} && {wait}{shlex.join(words)} 2>&1 | logger -t {site.unit(job)}"
    # Cron takes a per cent sign for the end of the line.
    return f"{when(job.calendar)} {site.user} {command}".replace("%", "\\%")


def when(calendar: str) -> str:
    """The five fields of a crontab.

    Args:
        calendar: as systemd writes it, in UTC.

    Raises:
        ConfigurationError: cron cannot say it.
    """
    plain = calendar.removesuffix(" UTC").strip()
    found = _EXPRESSION.fullmatch(_SHORT.get(plain.lower(), plain))
    # Cron runs a job when the day of the month or that of the week is right, once both are given.
    if not found or not any(found.groups()) or (found["weekday"] and found["day"] not in (None, "*")):
        raise _refused(calendar)
    try:
        return " ".join(
            (
                _field(found["minute"] or "00", 0, 59),
                _field(found["hour"] or "00", 0, 23),
                _field(found["day"] or "*", 1, 31),
                _field(found["month"] or "*", 1, 12),
                _weekdays(found["weekday"]),
            )
        )
    except ValueError:
        raise _refused(calendar) from None


def _field(said: str, lowest: int, highest: int) -> str:
    return ",".join(_part(part, lowest, highest) for part in said.split(","))


def _part(said: str, lowest: int, highest: int) -> str:
    span, slash, step = said.partition("/")
    first, dots, last = span.partition("..")
    if span == "*":
        return f"*/{_number(step, 1, highest)}" if slash else "*"
    begin = _number(first, lowest, highest)
    if dots:
        end = _number(last, begin, highest)
        return f"{begin}-{end}/{_number(step, 1, highest)}" if slash else f"{begin}-{end}"
    return f"{begin}-{highest}/{_number(step, 1, highest)}" if slash else str(begin)


def _number(said: str, lowest: int, highest: int) -> int:
    if not lowest <= int(said) <= highest:
        raise ValueError
    return int(said)


def _weekdays(said: str | None) -> str:
    """Cron calls systemd's last day of the week 7, or 0."""
    if said is None:
        return "*"
    spans = [[_DAYS.index(day[:3].lower()) + 1 for day in span.split("..")] for span in said.split(",")]
    if any(span != sorted(span) for span in spans):
        raise ValueError
    return ",".join("-".join(map(str, span)) for span in spans)


def _refused(calendar: str) -> ConfigurationError:
    return ConfigurationError(
        f"cron cannot run a job at {calendar!r}, and there is no systemd", "Write a time such as Sun *-*-* 04:30:00"
    )
