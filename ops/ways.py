"""Which release each service goes back to, decided by what served where, and by the records of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from types import MappingProxyType

from ops import clock
from ops.errors import ConfigurationError, ReleaseMissing
from ops.platforms import Release, Status
from ops.record import Release as Served
from ops.record import Run

TOGETHER = timedelta(minutes=30)
"""Services that began to serve within this time of the newest were deployed with it."""


@dataclass(frozen=True)
class Seen:
    """A service where it runs.

    Args:
        service: its name.
        host: the host, or the cloud.
        status: what serves.
        releases: those one could go back to.
    """

    service: str
    host: str
    status: Status
    releases: tuple[Release, ...]

    def has(self, release: str) -> bool:
        """Whether it could be activated here."""
        return release in [one.id for one in self.releases]


@dataclass(frozen=True)
class Way:
    """Where one service goes.

    Args:
        service: its name.
        serving: the releases that serve now, each once.
        to: the release that it goes back to; None: it stays.
        why: it stays, in words.
        since: when what serves began to; None: not known.
        served: when the release that it goes to began to serve; None: not known.
        migration: the database's revision while that served; None: not known.
    """

    service: str
    serving: tuple[str, ...]
    to: str | None
    why: str = ""
    since: datetime | None = None
    served: datetime | None = None
    migration: str | None = None


def decide(
    places: Sequence[Seen],
    records: Mapping[str, Sequence[Served]],
    release: str | None = None,
    begun: Mapping[str, str] = MappingProxyType({}),
) -> list[Way]:
    """Decide for every service.

    Args:
        places: every service on every host, in the order of the inventory.
        records: of each service the releases that served, newest first.
        release: the one that is asked for; None: the one that served before.
        begun: where a rollback was taking services that was not finished.

    Raises:
        ReleaseMissing: a service has nothing to go back to, or a place does not have it.
        ConfigurationError: which one is meant is not clear.
    """
    services = list(dict.fromkeys(place.service for place in places))
    found = [
        _way(
            name,
            [one for one in places if one.service == name],
            records.get(name, ()),
            release,
            begun.get(name),
        )
        for name in services
    ]
    if release is not None and all(way.to is None and release not in way.serving for way in found):
        known = [one.id for place in places for one in place.releases]
        raise ReleaseMissing.among("the environment", release, list(dict.fromkeys(known)))
    if release is None:
        found = _together(found)
        if len(services) == 1 and found[0].to is None and not _rolled_back(records.get(services[0], ())):
            raise ReleaseMissing(found[0].why, "Name one: --data release=…; deploys/services.py shows them")
    for way in found:
        _require_everywhere(way, [one for one in places if one.service == way.service])
    return found


def _way(service: str, places: Sequence[Seen], told: Sequence[Served], release: str | None, begun: str | None) -> Way:
    records = _each_once(told)
    serving = tuple(dict.fromkeys(place.status.release for place in places if place.status.release))
    since = max((place.status.since for place in places if place.status.since), default=None)
    stays = Way(service, serving, None, since=since)
    if release is not None:
        if not any(place.has(release) for place in places):
            return _because(stays, f"{service} has no release {release}")
        if serving == (release,):
            return _because(stays, f"{service} serves {release} already")
        return _to(stays, release, places, records)
    if begun is not None:
        return _to(stays, begun, places, records)  # whoever serves it already is left as it is
    if not serving:
        return _because(stays, f"it is not known which release of {service} serves")
    if len(serving) > 1:
        return _to(stays, _half_way(serving, places, records), places, records)
    if records and records[0].release in serving:
        if _rolled_back(told):
            return _because(stays, f"{service} was rolled back to {told[0].release} already, {told[0].time}")
        since = clock.parse_iso(records[0].time)
        stays = Way(service, serving, None, since=since)
        before = _before(records)
        if before is not None:
            return _to(stays, before, places, records)
    bad = _rolled_back_from(records)
    older = [
        one for place in places for one in place.releases
        if one.served and one.id not in {*serving, *bad} and (since is None or one.served <= since)
    ]  # fmt: skip
    if not older:
        return _because(stays, f"no release of {service} is known to have served before {', '.join(serving)}")
    newest = max(older, key=lambda one: one.served or datetime.min.replace(tzinfo=UTC))
    return _to(stays, newest.id, places, records)


def _half_way(serving: Sequence[str], places: Sequence[Seen], records: Sequence[Served]) -> str:
    """Some hosts serve another release than others: the last that served before the newest of these."""
    first = datetime.min.replace(tzinfo=UTC)
    since = {place.status.release: place.status.since or first for place in places}
    newest = max(serving, key=lambda release: since[release])
    bad = {newest, *_rolled_back_from(records)}
    known = [one.release for one in records if one.release not in bad]
    return known[0] if known else min(serving, key=lambda release: since[release])


def unfinished(runs: Sequence[Run], records: Mapping[str, Sequence[Served]]) -> dict[str, str]:
    """Where rollbacks were taking services, of each the last one, when that was not finished.

    What was released since by others ends it: a release that it went neither from nor to.

    Args:
        runs: rollbacks, the newest first.
        records: of each service the releases that served, newest first.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for run in runs:
        for service, way in run.facts.get("releases", {}).items():
            if service in seen:
                continue
            seen.add(service)
            its = {way["to"], *way["from"].split(", ")}
            others = [one for one in records.get(service, ()) if one.time > run.started and one.release not in its]
            if run.result != "done" and not others:
                found[service] = way["to"]
    return found


def _each_once(records: Sequence[Served]) -> list[Served]:
    """Without the restarts: of the same release several times in a row the first, which brought it."""
    last = list(records[-1:])
    return [one for one, older in pairwise(records) if older.release != one.release] + last


def _rolled_back_from(records: Sequence[Served]) -> set[str]:
    """The releases from which somebody has rolled back."""
    return {older.release for newer, older in pairwise(records) if newer.by_rollback and older.release != newer.release}


def _before(records: Sequence[Served]) -> str | None:
    """The newest release that served before the one that serves, and from which nobody has rolled back."""
    bad = {records[0].release, *_rolled_back_from(records)}
    return next((one.release for one in records if one.release not in bad), None)


def _to(stays: Way, release: str, places: Sequence[Seen], records: Sequence[Served]) -> Way:
    mine = next((one for one in records if one.release == release), None)
    told = [one.served for place in places for one in place.releases if one.id == release and one.served]
    served = clock.parse_iso(mine.time) if mine else max(told, default=None)
    return Way(stays.service, stays.serving, release, "", stays.since, served, mine.migration if mine else None)


def _because(way: Way, why: str) -> Way:
    return Way(way.service, way.serving, None, why, way.since)


def _together(found: list[Way]) -> list[Way]:
    """Only those go back that were deployed together with what was deployed last."""
    newest = max((way.since for way in found if way.to and way.since), default=None)
    if newest is None:
        return found
    return [
        way if not (way.to and way.since and newest - way.since > TOGETHER)
        else _because(way, f"{way.service} was not deployed lately: {clock.iso(way.since)}")
        for way in found
    ]  # fmt: skip


def _rolled_back(records: Sequence[Served]) -> bool:
    """Whether what serves was gone back to, maybe from what never held and so has no record; restarts do not count."""
    return any(one.by_rollback for one in takewhile(lambda one: one.release == records[0].release, records))


def _require_everywhere(way: Way, places: Iterable[Seen]) -> None:
    if way.to is None:
        return
    lacking = [place.host for place in places if not place.has(way.to) and place.status.release != way.to]
    if lacking:
        raise ReleaseMissing(
            f"the release {way.to} of {way.service} is missing on {', '.join(lacking)}",
            "Bring it there, or name another: --data release=…",
        )


def migration(found: Sequence[Way]) -> str | None:
    """The revision of the database that the releases expect; None: not known.

    Raises:
        ConfigurationError: they expect different ones.
    """
    wanted = {way.migration for way in found if way.to is not None}
    if len(wanted) > 1:
        said = ", ".join(f"{way.service} {way.to}: {way.migration or 'unknown'}" for way in found if way.to)
        raise ConfigurationError(
            f"the releases expect different revisions of the database ({said})", "Roll one back: --data service=…"
        )
    return next(iter(wanted), None)
