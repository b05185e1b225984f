"""What remains of a run, and which release of a service served since when: documents in the environment's store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any

from ops import clock
from ops.errors import ConfigurationError, ObjectMissing, PreconditionFailed
from ops.stores import Documents

LIMIT = 8 * 2**20
"""Bytes that a record may have to be read."""
_STAMP = len("2026-11-21T10-00-00Z")


@dataclass
class Step:
    """One step of a run on one host.

    Args:
        operation: its name in the deploy.
        host: where.
        words: what it did; empty for one that only looked, or is pyinfra's own.
        outcome: ``done``, ``failed``, ``ignored`` (failed, and the deploy says to go on), ``retried``, or
            ``interrupted``; None while it runs.
        seconds: that it took.
        error: the one line of its failure.
    """

    operation: str
    host: str
    words: str = ""
    outcome: str | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass
class Run:
    """One run of a deploy.

    Args:
        id: ``<time it began>-<deploy>``.
        environment: its name.
        who: ``user@host``.
        version: of this software.
        commit: of the directory that pyinfra was typed in; None where there is no git.
        deploy: the deploy file's name, or the operation's.
        arguments: what was given with it, without what may be a secret.
        reason: as given.
        started: when.
        result: ``done``, ``failed`` or ``interrupted``; None while it runs, and for ever when it was killed.
        finished: when.
        seconds: from start to end.
        steps: in the order in which they began.
        facts: what its operations know: ``backup``, ``releases``, ``migrations`` …
    """

    id: str
    environment: str
    who: str
    version: str
    commit: str | None
    deploy: str
    arguments: dict[str, str]
    reason: str | None
    started: str
    result: str | None = None
    finished: str | None = None
    seconds: float | None = None
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Where it lies."""
        return f"{_runs(self.environment)}{self.id}.json"

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return asdict(self)

    @staticmethod
    def from_json(document: dict[str, Any]) -> Run:
        """The run that a document tells of. What a later version has added to it is left out.

        Raises:
            TypeError: it tells of none.
        """
        known = {one.name: document[one.name] for one in fields(Run) if one.name in document}
        parts = [one.name for one in fields(Step)]
        steps = [Step(**{name: step[name] for name in parts if name in step}) for step in known.pop("steps", [])]
        return Run(**known, steps=steps)


@dataclass(frozen=True)
class Release:
    """A release that began to serve.

    Args:
        service: its name.
        release: the platform's name for it.
        migration: the database's revision at that time; None: not known.
        time: when.
        run: the id of the run that brought it.
        back: whether that went back to it by itself, as a release may.
    """

    service: str
    release: str
    migration: str | None
    time: str
    run: str
    back: bool = False

    @property
    def by_rollback(self) -> bool:
        """Whether it was gone back to."""
        return self.back or self.run.endswith("-rollback")


def begin(store: Documents, run: Run, content: Callable[[], bytes]) -> None:
    """Write a record for the first time; of two runs that begin in the same second the second gets the next."""
    while True:
        try:
            store.put_if_absent(run.key, content())
        except PreconditionFailed:
            later = clock.parse(run.id[:_STAMP]) + timedelta(seconds=1)
            run.id = f"{clock.stamp(later)}{run.id[_STAMP:]}"
        else:
            return


def runs(store: Documents, environment: str, limit: int, deploy: str | None = None) -> list[Run]:
    """The newest runs of an environment, newest first; what is no record is left out.

    Args:
        store: where they lie.
        environment: its name.
        limit: how many at most.
        deploy: only those of one deploy; None: all.
    """
    keys = sorted(_keys(store, _runs(environment)), reverse=True)
    if deploy is not None:
        keys = [key for key in keys if key.endswith(f"-{deploy}.json")]
    found = _documents(store, keys[:limit])
    return [run for run in map(_run, found) if run is not None]


def find(store: Documents, environment: str, id: str) -> Run:
    """The run with this id, or the only one that began at this time.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    keys = _keys(store, f"{_runs(environment)}{id}") if id else []
    exact = [key for key in keys if key == f"{_runs(environment)}{id}.json"]
    found = [run for run in map(_run, _documents(store, exact or keys)) if run is not None]
    if len(found) != 1:
        names = ", ".join(run.id for run in found[:5])
        raise ConfigurationError(
            f"there {'is no run' if not found else f'are {len(found)} runs'} {id} of {environment}",
            f"There are: {names}" if found else f"Look at them: pyinfra {environment} deploys/history.py",
        )
    return found[0]


def write_release(store: Documents, run: Run, release: Release) -> None:
    """Note that a release serves, and which run brought it."""
    time = clock.stamp(clock.parse_iso(release.time))
    key = f"{_releases(run.environment)}{time}-{release.service}.json"
    document = {**asdict(release), "run": run.id}
    if not release.back:
        del document["back"]  # which earlier versions do not know
    store.write(key, dumped(document))


def releases(store: Documents, environment: str, service: str, limit: int = 20) -> list[Release]:
    """The releases of a service, the newest first; one that was restarted is there once for each time."""
    below = _releases(environment)
    mine = [key for key in _keys(store, below) if key[len(below) + _STAMP :] == f"-{service}.json"]
    found = _documents(store, sorted(mine, reverse=True)[:limit])
    return [release for release in map(_release, found) if release is not None]


def dumped(document: dict[str, Any]) -> bytes:
    """A document as it is stored: to be read by people too."""
    return json.dumps(document, indent=1, ensure_ascii=False, default=str).encode()


def _runs(environment: str) -> str:
    return f"{environment}/runs/"


def _releases(environment: str) -> str:
    return f"{environment}/releases/"


def _keys(store: Documents, prefix: str) -> list[str]:
    return [entry.key for entry in store.list(prefix) if entry.key.endswith(".json")]


def _documents(store: Documents, keys: Iterable[str]) -> list[Any]:
    def read(key: str) -> Any:
        try:
            return json.loads(store.read(key, LIMIT)[0])
        except (ObjectMissing, ValueError):
            return None  # it went, or is none of ours

    with ThreadPoolExecutor(max_workers=8) as readers:
        return list(readers.map(read, keys))


def _run(document: Any) -> Run | None:
    try:
        return Run.from_json(document)
    except (TypeError, AttributeError):
        return None


def _release(document: Any) -> Release | None:
    try:
        return Release(**document)
    except TypeError:
        return None
