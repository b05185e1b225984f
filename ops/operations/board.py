"""The table of services, filled by every host, printed once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ops import clock, roll
from ops.errors import OpsError
from ops.operations import table
from ops.platforms import Status, open_platform
from ops.platforms.shell import Shell
from ops.services import Service

# On a narrow terminal names and times go over two lines; nothing is cut.
_COLUMNS: dict[str, dict[str, Any]] = {
    "service": {"no_wrap": True},
    "where": {"overflow": "fold", "min_width": 12},
    "release": {"overflow": "fold", "min_width": 10},
    "serving since": {"overflow": "fold", "min_width": 18},
    "health": {"no_wrap": True},
}
_STALE = "still runs release"
"""Which is no reason not to be healthy."""
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
        asked: whether its health is asked for, or only whether it runs.
    """

    service: str
    place: str
    status: Status | None
    previous: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unknown: str = ""
    asked: bool = True


def row(service: Service, place: str, shell: Shell | None) -> Row:
    """Ask a service where it runs, and each of its instances for its health."""
    try:
        platform = open_platform(service, shell)
        status, releases = platform.overview()
        previous = [one.id for one in releases if one.id != status.release]
        problems = [] if status.instances else [f"{service.name} has no instance"]
        for instance, wrong in zip(status.instances, roll.problems(service, status, shell), strict=True):
            if wrong is None and instance.release not in (None, status.release):
                wrong = f"{_STALE} {instance.release}"
            if wrong:
                problems.append(f"{instance.name} {wrong}")
        if service.requires:
            problems += [f"{name} is missing" for name in platform.missing(list(service.requires))]
    except OpsError as error:
        return Row(service.name, place, None, unknown=str(error))
    return Row(service.name, place, status, tuple(previous[:PREVIOUS]), tuple(problems), "", bool(service.health))


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

    def to_json(self) -> list[dict[str, Any]]:
        """Each service in each place; ``instances`` is None where nobody could be asked."""
        return [
            {
                **{name: getattr(row, name) for name in ("service", "place", "problems", "previous", "unknown")},
                "release": row.status and row.status.release,
                "since": clock.iso(row.status.since) if row.status and row.status.since else None,
                "instances": row.status and {one.name: one.state for one in row.status.instances},
            }
            for row in self._rows
        ]

    def render(self, title: str, order: list[str], width: int = table.WIDTH) -> str:
        """Lines of text, at most ``width`` columns wide; what is wrong stands below the table, in full.

        Args:
            title: above the table.
            order: of the services.
            width: columns.
        """
        rows = sorted(self._rows, key=lambda row: (order.index(row.service), row.place))
        cells = [[row.service, row.place, *_cells(row)] for row in rows]
        drawn = table.rendered(title, _COLUMNS, cells, width, "there is none")
        remarks = [
            f"{row.service} on {row.place}: {wrong}" for row in rows for wrong in (*row.problems, row.unknown) if wrong
        ]
        return drawn + "\n".join([*remarks, *_previous(rows)])


def _cells(row: Row) -> tuple[str, str, str]:
    status = row.status
    if status is None:
        return "?", "?", "unknown"
    sick = {problem.split(" ")[0] for problem in row.problems if _STALE not in problem}
    well, of = sum(instance.name not in sick for instance in status.instances), len(status.instances)
    good = "healthy" if row.asked else "running"
    health = f"{well} of {of} {good}"
    if well == of and of and not row.problems:
        health = good if of == 1 else f"all {of} {good}"
    since = ""
    if status.since:
        age = (datetime.now(UTC) - status.since).total_seconds()
        since = f"{status.since:%Y-%m-%d %H:%M}Z, {clock.age(max(0.0, age))}"
    return _short(status.release or ""), since, health


def _previous(rows: list[Row]) -> list[str]:
    """What each service could go back to, in full, to be copied; places that have the same share a line."""
    places: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in rows:
        if row.previous:
            places.setdefault((row.service, row.previous), []).append(row.place)
    several = [service for service, _ in places]
    return [
        f"{service}{' on ' + ', '.join(where) if several.count(service) > 1 else ''} can go to: {', '.join(before)}"
        for (service, before), where in places.items()
    ]


def _short(release: str) -> str:
    """Of an image only what differs from release to release."""
    return release.rpartition("/")[2]
