"""The table of services, filled by every host, printed once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ops import clock, health
from ops.errors import OpsError
from ops.platforms import Status, open_platform
from ops.platforms.shell import Shell
from ops.services import Service

PREVIOUS = 2
"""Releases that are shown beside the one that serves."""


@dataclass(frozen=True)
class Row:
    """A service in one place.

    Args:
        service: its name.
        place: the host, or the cloud.
        status: what serves; None when nobody could be asked.
        previous: releases it could go back to.
        problems: what is wrong, by instance.
        unknown: why nobody could be asked.
    """

    service: str
    place: str
    status: Status | None
    previous: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unknown: str = ""


def row(service: Service, place: str, shell: Shell | None) -> Row:
    """Ask a service where it runs, and each of its instances for its health."""
    try:
        platform = open_platform(service, shell)
        status, releases = platform.overview()
        previous = [one.id for one in releases if one.id != status.release]
        running = [number for number, one in enumerate(status.instances) if one.state == "running"]
        sick = dict(zip(running, health.problems(service, running, shell), strict=True))
        problems = []
        for number, instance in enumerate(status.instances):
            wrong = None if instance.state == "running" else f"is {instance.state}"
            wrong = wrong or sick[number]
            if wrong is None and instance.release not in (None, status.release):
                wrong = f"still runs release {instance.release}"
            if wrong:
                problems.append(f"{instance.name} {wrong}")
        problems += [f"{name} is missing" for name in platform.missing(list(service.requires))]
    except OpsError as error:
        return Row(service.name, place, None, unknown=str(error))
    return Row(service.name, place, status, tuple(previous[:PREVIOUS]), tuple(problems))


class Board:
    """What has been found."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """One more."""
        self._rows.append(row)

    def unknown(self) -> list[str]:
        """Those that could not be asked."""
        return [f"{row.service} on {row.place}" for row in self._rows if row.status is None]

    def render(self, title: str, order: list[str], width: int = 100) -> str:
        """Lines of text, at most ``width`` columns wide; what is wrong stands below the table, in full.

        Args:
            title: above the table.
            order: of the services.
            width: columns.
        """
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for heading, most in (("service", 20), ("where", 24), ("release", 28), ("serving since", 27), ("health", 18)):
            table.add_column(heading, no_wrap=True, overflow="ellipsis", max_width=most)
        # What gives way on a narrow terminal is the past.
        table.add_column("previous", overflow="fold")
        rows = sorted(self._rows, key=lambda row: (order.index(row.service), row.place))
        for row in rows:
            table.add_row(row.service, row.place, *_cells(row))
        console = Console(width=width, no_color=True, highlight=False)
        with console.capture() as captured:
            console.print(table if rows else f"{title}: there is none")
        remarks = [
            f"{row.service} on {row.place}: {wrong}" for row in rows for wrong in (*row.problems, row.unknown) if wrong
        ]
        return captured.get() + "\n".join(remarks)


def _cells(row: Row) -> tuple[str, str, str, str]:
    status = row.status
    if status is None:
        return "?", "?", "unknown", ""
    sick = {problem.split(" ")[0] for problem in row.problems}
    well = sum(instance.name not in sick for instance in status.instances)
    health = f"{well} of {len(status.instances)} healthy"
    if not row.problems:
        health = "healthy" if len(status.instances) == 1 else f"all {len(status.instances)} healthy"
    since = ""
    if status.since:
        age = (datetime.now(UTC) - status.since).total_seconds()
        since = f"{status.since:%Y-%m-%d %H:%M}Z, {clock.age(max(0.0, age))}"
    return _short(status.release or ""), since, health, ", ".join(map(_short, row.previous))


def _short(release: str) -> str:
    """Of an image only what differs from release to release."""
    return release.rpartition("/")[2]
