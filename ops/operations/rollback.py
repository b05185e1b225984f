"""Operations of a rollback: look at everything, plan, bring back database and services, and end safely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

from pyinfra import host, inventory, state
from pyinfra.api.operation import operation

from ops import arguments, environment_lock, notices, output, record, recorder, roll, runner, ways
from ops.confirmation import confirmed
from ops.errors import ConfigurationError, OpsError, ServiceError
from ops.failures import Failures
from ops.operations import (
    databases,
    maintenance,
    migrations,
    places,
    restore_points,
    revision,
    rollback_database,
    rollback_plan,
    services,
)
from ops.rollback import Plan
from ops.services import OnHosts
from ops.steps import Steps, guarded, on_runner
from ops.ways import Seen

_seen: dict[tuple[str, str], Seen] = {}
_plans: list[Plan] = []
"""The one of this run, once it is made."""
failures = Failures()
"""Of this run: what comes after one leaves everything as it is."""


@operation()
@guarded
def look(service: str | None = None, when: Callable[[str | None], bool] | None = None) -> Steps:
    """
    Ask every service on every host what serves, and what it could go back to. Never a change.

    + service: its name; none: all
    + when: what is asked while it is carried out, of each service and of all together, and without which there is no
      rollback; none: there is one
    """
    for name in places.names(service):
        found = places.mine(name) if _wanted(when, name) else None
        if found is None:
            continue
        where = host.name if found.shell else found.service.kind  # type: ignore[attr-defined]
        _seen.pop((name, where), None)  # what was seen for the plan that was shown does not count
        status, releases = found.platform.overview()
        _seen[name, where] = Seen(name, where, status, tuple(releases))
    yield from ()


@operation()
@on_runner
def planned(
    release: str | int | None = None,
    database: str = "auto",
    backup: str | None = None,
    branch: str | None = None,
    confirm: str | None = None,
    batch: int | str = 1,
    when: Callable[[str | None], bool] | None = None,
) -> Steps:
    """
    Decide where every service goes and what becomes of the database, and print it. Never a change; whatever would keep
    it from being carried out is a failure here.

    + release: the one to go to; none: the one that served before
    + database: ``auto``: only code goes back, and not when a migration since is breaking; ``keep``: only code;
      ``revert``: the migrations since are undone; ``restore``: a proven backup takes its place; ``branch``: its branch
      on Neon gets the content of a restore point
    + backup: the id of the one to restore
    + branch: the name of the one whose content it gets; none: the newest restore point at the right migration
    + confirm: the environment's name, where it is protected and data can be lost
    + batch: on how many hosts a service goes back at once
    + when: see ``look``
    """
    if _wanted(when):
        steps = _planned(release, database, backup, branch, confirm, batch)
        # Who rolls back by itself is told why not; a deploy that does nothing else ends here.
        yield from steps if when is None else failures.noted("the plan", steps)


def _planned(
    release: str | int | None,
    database: str,
    backup: str | None,
    branch: str | None,
    confirm: str | None,
    batch: int | str,
) -> Steps:
    at_once = services.hosts_at_once(batch)
    here = runner.environment()
    seen = [one for name in places.names() for (of, _), one in _seen.items() if of == name]
    if not seen:
        raise ConfigurationError(f"{here.name} has no services that could go back", "Write services=[…]")
    _require_everybody()
    store = runner.documents()
    names = list(dict.fromkeys(one.service for one in seen))
    records = {name: record.releases(store, here.name, name, limit=100) for name in names}
    before = record.runs(store, here.name, 10, "rollback")
    begun = ways.unfinished(before, records)
    found = ways.decide(seen, records, None if release is None else str(release), begun)
    took = next((run.seconds for run in before if run.result == "done"), None)
    tried = list(takewhile(lambda run: run.result != "done", before)) if begun else []
    resumes = tried[-1] if tried else None
    decided = rollback_database.decided(found, database, backup, branch, resumes)
    made = replace(decided, at_once=at_once, took=took)
    _require_whole(made)
    output.table(rollback_plan.render(made, here.name))
    if made.changes:
        environment_lock.require_free()
        if made.database != "keep":
            confirmed(here, confirm)
    if _plans and _plans[0].essence != made.essence:
        raise ConfigurationError("what is to be rolled back has changed since the plan was shown", "Look at it again")
    # The last, because the hosts that have nothing to do with what failed here act upon it.
    _plans[:] = [made]
    if state.is_executing and made.changes:
        going = {way.service: {"from": ", ".join(way.serving), "to": way.to} for way in made.ways if way.to}
        recorder.know(plan={"database": made.database, "migration": made.migration}, releases=going)
    yield from ()


def _require_everybody() -> None:
    """Every host of a service that is looked at must have answered: a plan without one would leave it as it is."""
    for service in runner.environment().services:
        if isinstance(service, OnHosts) and any(of == service.name for of, _ in _seen):
            hosts = [one for one in inventory.get_group(service.hosts) if state.is_host_in_limit(one)]
            silent = [one.name for one in hosts if (service.name, one.name) not in _seen]
            if silent:
                raise ServiceError(f"{service.name} on {', '.join(silent)} could not be asked", "See above why")


def _require_whole(made: Plan) -> None:
    """Where ``--limit`` leaves hosts of a service out, they would meet a database that their release does not know."""
    for service in runner.environment().services:
        way = made.way(service.name)
        if not isinstance(service, OnHosts) or way is None or way.to is None:
            continue
        left = [one.name for one in inventory.get_group(service.hosts) if not state.is_host_in_limit(one)]
        if left and made.database != "keep":
            raise ConfigurationError(
                f"{service.name} on {', '.join(left)} is left out, and the database is not", "Leave out --limit"
            )
        if left:
            output.say(f"{service.name} stays as it is on {', '.join(left)}, which --limit leaves out")


@operation()
@guarded
def database_back() -> Steps:
    """
    Bring the database to where the release needs it, as planned: undo migrations, restore a backup and swap it in, or
    let its branch on Neon go back.
    """
    made = _plan()
    here = runner.environment()
    if made is None or made.database == "keep":
        return
    if made.database == "revert" and here.migrations and made.migration and runner.is_first_of(here.migrations.hosts):
        yield from failures.noted("the database", migrations.reverting(here, made.migration))
    if made.database == "restore" and runner.is_runner():
        assert made.loss is not None
        yield from failures.noted("the database", databases.restoring(made.loss))
    if made.database == "branch" and runner.is_runner():
        assert made.loss is not None
        yield from failures.noted("the database", restore_points.going_back(made.loss, made.restored))


@operation()
@guarded
def service_back(service: str) -> Steps:
    """
    Let the planned release of a service serve, host after host, health-gated as a restart.

    + service: its name
    """
    made = _plan()
    way = made.way(service) if made else None
    if made is None or way is None or way.to is None:
        return
    _refuse_after_failure(service)
    yield from failures.noted(service, services.activating(service, way.to, made.at_once, back=True))


@operation()
@guarded
def proven() -> Steps:
    """
    See that every service serves the planned release and is healthy, by asking it. Never a change.
    """
    made = _plan()
    if made is None or not state.is_executing or failures:
        return
    for way in made.ways:
        found = places.mine(way.service) if way.to else None
        if found is not None:
            try:
                _prove(found, way.to or "")
                recorder.released(way.service, way.to or "", revision.current(), back=True)
            except OpsError as error:
                failures.add(f"{way.service} on {host.name}", error)
                raise
    yield from ()


def _prove(found: places.Place, release: str) -> None:
    status = found.platform.status()
    if status.release != release:
        raise ServiceError(
            f"{found.who} serves {status.release} and not {release}", "Somebody else may have changed it"
        )
    roll.well(found.service, found.platform, found.shell)
    output.say(f"{found.who} serves {release}, and is well")


@operation()
@guarded
def sheltered(when: Callable[[], bool] | None = None) -> Steps:
    """
    After a failure, let nginx answer with its maintenance page where services do not serve. No change when all is well.

    + when: what is asked where nothing was planned, and so nothing was touched; none: it is sheltered
    """
    if not state.is_executing or not failures or (_plan() is None and when is not None and not when()):
        return
    for name, page in maintenance.fronts():
        if page:
            yield from maintenance.turning(name, on=True)


@operation()
@on_runner
def told() -> Steps:
    """
    Tell people how it ended; a failure when anything of it failed, with the command to type next.
    """
    made = _plan()
    if made is None or not state.is_executing or not (made.changes or failures):
        return
    here = runner.environment()
    typed = arguments.command()
    if failures:
        title = f"{here.name}: the rollback failed"
        body = f"{failures}\nNext: look at what is said above, mend it, and type again: {typed}"
    else:
        title, body = f"{here.name} was rolled back", rollback_plan.sentence(made)
    for problem in notices.tell(here.notify, title, body, bad=bool(failures)).values():
        output.say(f"not told: {problem}")
    if failures:
        raise ServiceError(f"the rollback failed: {failures}", f"Mend that, then type again: {typed}")
    output.say(body)
    yield from ()


def done() -> bool:
    """Whether this run has rolled back, and nothing of it failed."""
    made = _plan()
    return made is not None and made.changes and not failures


def _wanted(when: Callable[[str | None], bool] | None, service: str | None = None) -> bool:
    """Nobody can tell in the plan what is known only once it is carried out."""
    return when is None or (state.is_executing and when(service))


def _plan() -> Plan | None:
    return _plans[0] if _plans else None


def _refuse_after_failure(what: str) -> None:
    if failures and state.is_executing:
        raise ServiceError(f"{what} was left as it is, because {next(iter(failures))} failed", "")
