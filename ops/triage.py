"""A picture of an environment, taken from where pyinfra was typed: every part at the same time. Only reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from pyinfra import host, inventory, state
from pyinfra.api.exceptions import NoGroupError
from pyinfra.api.host import Host
from pyinfra.context import ctx_host

from ops import clock, environment_lock, error_kinds, record, runner, verification
from ops.checks import Check, HttpFlow
from ops.checks.result import by_severity
from ops.environment import Environment
from ops.errors import ConfigurationError, HostUnreachable
from ops.hosts import HostShell
from ops.parts import Part, Seen, looked
from ops.platforms import open_platform
from ops.platforms.queues import CloudflareQueues
from ops.secrets import hidden
from ops.services import OnHosts, Queues, Service

LINES = 5000
"""Lines of each log that are read at most, the newest."""
RUNS = 5
_DATABASE = 45.0
_LOG = 30.0
_CLOUD = 30.0
_STARTING = 30.0
"""Seconds that a worker may need beside its work, to be started over a slow connection."""


def picture(environment: Environment, since: float, slow: float) -> dict[str, Any]:
    """Each part of the picture as ``Seen`` tells it as JSON, without a secret in any text.

    Args:
        environment: whose.
        since: seconds for which lines of logs count.
        slow: seconds that a statement takes on average to be a slow one.
    """
    on = inventory.get_host(host.name)
    # A flow writes something, and who looks at an outage wants no more of that.
    checks = [one for one in verification.checks(environment) if not isinstance(one, HttpFlow)]
    logs = list(_logs(environment, since))
    parts = [
        Part("database", lambda: runner.ask("triage", on=on, slow=slow), _DATABASE + _STARTING),
        Part("history", _as(on, lambda: _history(environment)), _CLOUD),
        Part("lock", _as(on, _lock), _CLOUD),
        *logs,
    ]
    if environment.queues is not None:
        parts.append(Part("queues", partial(_queues, environment.queues), _CLOUD))
    if checks:
        longest = max(one.timeout for one in checks)
        parts.append(Part("checks", lambda: _checks(environment, checks), longest + _STARTING))
    seen = looked(parts)
    taken = {
        "environment": environment.name,
        "protected": environment.protected,
        "time": clock.iso(clock.now()),
        **_unfolded(seen.pop("database")),
        "logs": {part.name: seen.pop(part.name).to_json() for part in logs},
        **{name: one.to_json() for name, one in seen.items()},
    }
    found: dict[str, Any] = hidden(taken, environment)
    return found


def unknown(taken: dict[str, Any]) -> dict[str, str]:
    """The parts of a picture that nobody could tell, with what to do about each."""
    parts = {name: part for name, part in taken.items() if isinstance(part, dict) and "unknown" in part}
    parts |= taken["logs"]
    missing = {name: part["hint"] for name, part in parts.items() if part["unknown"]}
    connections = taken.get("connections", {}).get("found")
    if connections and connections["hidden"]:
        missing["the sessions of other roles"] = grant(connections["role"])
    return missing


def grant(role: str) -> str:
    """What lets a role see the sessions and the statements of others."""
    return f'In psql: GRANT pg_monitor TO "{role}"'


def _unfolded(database: Seen) -> dict[str, Any]:
    """The database's parts, which the worker tells of together; or that it did not."""
    return dict(database.found) if database.found is not None else {"database": database.to_json()}


def _as(on: Host, look: Callable[[], Any]) -> Callable[[], Any]:
    """Look from a host: which one is at hand is known to the thread alone that pyinfra began."""

    def looking() -> Any:
        with ctx_host.use(on):
            return look()

    return looking


def _history(environment: Environment) -> dict[str, Any]:
    store = runner.documents()
    names = [one.name for one in environment.services]
    with ThreadPoolExecutor(max_workers=8) as readers:
        releases = readers.map(lambda name: record.releases(store, environment.name, name, 1), names)
        runs = record.runs(store, environment.name, RUNS)
        newest = [asdict(found[0]) for found in releases if found]
    told = ("id", "deploy", "who", "started", "result", "seconds", "arguments", "reason")
    return {
        "runs": [{name: getattr(run, name) for name in told} for run in runs],
        "releases": sorted(newest, key=lambda one: str(one["time"]), reverse=True),
    }


def _lock() -> dict[str, Any]:
    held, reserved = environment_lock.look()
    return {"held": held, "reserved": None if reserved is None else str(reserved)}


def _queues(described: Queues) -> list[dict[str, Any]]:
    """What waits in each queue, the fullest first."""
    cloud = CloudflareQueues(described)

    def one(name: str) -> dict[str, Any]:
        backlog = cloud.backlog(name)
        oldest = backlog.oldest.total_seconds() if backlog.oldest else None
        return {"queue": name, "messages": backlog.messages, "oldest": oldest, "paused": cloud.paused(name)}

    with ThreadPoolExecutor(max_workers=8) as askers:
        return sorted(askers.map(one, cloud.names()), key=lambda found: -int(found["messages"]))


def _checks(environment: Environment, checks: list[Check]) -> list[dict[str, Any]]:
    """What came of the checks, the worst first."""
    kinds = {one.title: one.kind for one in checks}  # type: ignore[attr-defined]
    results = by_severity(verification.verify(environment, checks))
    return [{**one.to_json(), "kind": kinds[one.check]} for one in results]


def _logs(environment: Environment, since: float) -> Iterator[Part]:
    for service in environment.services:
        if not isinstance(service, OnHosts):
            yield Part(f"log of {service.name}", partial(_log, service, None, since), _LOG)
            continue
        try:
            hosts = [one for one in inventory.get_group(service.hosts) if state.is_host_in_limit(one)]
        except NoGroupError:
            yield Part(f"log of {service.name}", partial(_no_group, service), _LOG)
            continue
        for on in hosts:
            yield Part(f"log of {service.name} on {on.name}", partial(_log, service, on, since), _LOG)


def _log(service: Service, on: Host | None, since: float) -> dict[str, Any]:
    """The kinds of errors in a service's log where it runs."""
    if on is not None and not on.connected:
        raise HostUnreachable(f"{on.name} could not be reached", "Look at the host")
    platform = open_platform(service, None if on is None else HostShell(on))
    platform.status()  # of what is not there, or does not answer, many a log is empty
    most = min(LINES, platform.page)
    lines = platform.logs(clock.now() - timedelta(seconds=since), most)
    kinds: Counter[str] = error_kinds.kinds(lines)
    return {
        "service": service.name,
        "where": on.name if on is not None else service.kind,  # type: ignore[attr-defined]
        "lines": len(lines),
        "whole": len(lines) < most,
        "silent": not lines and not platform.logs(lines=1),
        "dated": platform.dated,
        "kinds": dict(kinds.most_common(50)),
    }


def _no_group(service: OnHosts) -> None:
    raise ConfigurationError(f"the inventory has no group {service.hosts}", f"Write: {service.hosts} = …")
