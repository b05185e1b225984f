"""Operations of a release: look first, back up, migrate, bring out, verify, watch; and know whether to go back."""

from __future__ import annotations

from collections.abc import Callable

from pyinfra import host, state
from pyinfra.api.operation import operation

from ops import arguments, notices, output, runner, verification
from ops.checks import Outcome
from ops.checks.result import Baseline, by_severity
from ops.errors import ChecksFailed, ConfigurationError, OpsError, ReleaseMissing, ServiceError, TriggerHeld
from ops.failures import Failures
from ops.operations import backups, checks, migrations, places, rollback, services
from ops.platforms import Status
from ops.steps import Step, Steps, guarded, on_runner

MODES = ("offer", "automatic")
"""What is done when what was brought out is not well: name the command that goes back, or go back."""
failures = Failures()
"""Of this run: what comes after one is left out."""
reasons = Failures()
"""Those of them that are reasons to go back."""
_out: dict[str, bool] = {}
"""The services that serve what is released, on some host at least, and whether this run has changed that."""
_sick: set[str] = set()
"""Those of them that did not hold."""
_before = Baseline()
"""What was not as it must be before the release."""
_bad_since: set[str] = set()
"""The checks that were reasons to go back."""
_still: list[str] = []
"""Those of them that are bad after the way back as well."""


@operation()
@guarded
def preflight(watch: str | int | None = None) -> Steps:
    """
    Ask every check before the release. Those of hosts, tools, settings, the database and the store must hold; the
    others may be what the release is to mend. Never a change.

    + watch: for how long the environment will be watched; what is wrong with that is found now
    """
    yield from _stage("the preflight", _preflight(watch))


@on_runner
def _preflight(watch: str | int | None) -> Steps:
    here = runner.environment()
    if watch is not None:
        checks.Watching(here, watch)
    asked = verification.checks(here)
    if not state.is_executing:
        return
    results = verification.verify(here, asked)
    checks.show(here.name, results)
    _before.take(results)
    must = {one.title for one in asked if one.preflight}
    checks.require_good(here.name, [one for one in results if one.check in must])
    yield from ()


@operation()
@guarded
def found(service: str, release: str | int | None = None) -> Steps:
    """
    See that a service is where the inventory says, and has the release, before anything is changed. Never a change.

    + service: its name
    + release: the platform's own name for it; none: what is there already
    """
    yield from _stage(f"{service} on {host.name}", _found(service, release))


def _found(service: str, release: str | int | None) -> Steps:
    wanted = None if release is None else services.release_name(release)
    place = places.mine(service) if state.is_executing else None
    if place is not None:
        _, releases = place.platform.overview()
        known = [one.id for one in releases]
        if wanted is not None and wanted not in known:
            raise ReleaseMissing.among(f"{service} on {host.name}", wanted, known)
    yield from ()


@operation()
@guarded
def backed_up(max_age: str | int | float) -> Steps:
    """
    Take a backup, unless a complete one is young enough.

    + max_age: such as ``1h``
    """
    yield from _stage("the backup", backups.take._inner(max_age=max_age))


@operation()
@guarded
def migrated() -> Steps:
    """
    Apply the pending migrations, as ``migrations.applied`` does. No change where there are none.
    """
    if runner.environment().migrations is not None:
        yield from _stage("the migrations", migrations.applied._inner())


@operation()
@guarded
def brought_out(service: str, release: str | int | None = None, batch: int | str = 1) -> Steps:
    """
    Let a release of a service serve, host after host, health-gated; without one, restart what is to serve.

    + service: its name
    + release: the platform's own name for it; none: it is there already, and the service is restarted
    + batch: on how many hosts at once
    """
    if failures and state.is_executing:
        return
    steps = (
        services.restart._inner(service=service, batch=batch)
        if release is None
        else services.activate._inner(service=service, release=release, batch=batch)
    )
    what = f"{service} on {host.name}"
    yield from reasons.noted(what, failures.noted(what, _going_out(service, release, steps)))


def _going_out(service: str, release: str | int | None, steps: Steps) -> Steps:
    there = True
    for step in steps:
        there = False
        if isinstance(step, Step):
            step.do = _noting_changes(service, release, step.do)
        yield step
    if there and state.is_executing and places.mine(service) is not None:
        _out.setdefault(service, False)


def _noting_changes(service: str, release: str | int | None, do: Callable[[], object]) -> Callable[[], object]:
    """What was refused before it has changed anything is nothing to go back from."""

    def inner() -> None:
        found = places.mine(service)
        assert found is not None
        before = found.platform.status()
        try:
            do()
        except Exception:
            if _may_have_changed(before, found, release):
                _out[service] = True
                _sick.add(service)
            raise
        _out[service] = True

    return inner


def _may_have_changed(before: Status, found: places.Place, release: str | int | None) -> bool:
    try:
        now = found.platform.status()
    except OpsError:
        return True
    if release is not None:
        return now.release is None or now.release != before.release
    since = [one.since for one in now.instances]
    return None in since or since != [one.since for one in before.instances]


@operation()
@guarded
def verified() -> Steps:
    """
    Ask every check, once what was brought out serves. What fails now and did not before is a reason to go back. Never a
    change.
    """
    yield from _stage("the verification", _verified())


@on_runner
def _verified() -> Steps:
    here = runner.environment()
    if not state.is_executing:
        return
    results = verification.verify(here, verification.checks(here))
    checks.show(here.name, results)
    new = [one for one in results if one.outcome is Outcome.FAIL and not _before.had(one)]
    try:
        checks.require_good(here.name, new or results)
    except ChecksFailed as error:
        if new:
            reasons.add("the verification", error)
            _bad_since.update(one.check for one in new)
        raise
    yield from ()


@operation()
@guarded
def watched(lasting: str | int) -> Steps:
    """
    Watch the environment, until the time is over or a trigger holds, which is a reason to go back. Never a change.

    + lasting: for how long, such as ``10m``
    """
    yield from _stage("the watch", _watched(lasting))


@on_runner
def _watched(lasting: str | int) -> Steps:
    watching = checks.Watching(runner.environment(), lasting)
    if not state.is_executing:
        return
    try:
        watching.run()
    except TriggerHeld as error:
        reasons.add("the watch", error)
        _bad_since.update([error.check])
        raise
    yield from ()


@operation()
@on_runner
def verified_back() -> Steps:
    """
    Ask the checks once more for which the release was taken back: it may not have been what was wrong. Never a change.
    """
    if not state.is_executing or not rollback.done() or not _bad_since:
        return
    here = runner.environment()
    asked = [one for one in verification.checks(here) if one.title in _bad_since]
    results = verification.verify(here, asked)
    checks.show(here.name, results)
    _still.extend(dict.fromkeys(one.full_name for one in by_severity(results) if one.outcome.bad))
    yield from ()


def must_go_back(service: str | None = None) -> bool:
    """Whether something was brought out that is not well, and was better before.

    Args:
        service: whether that is to go back, which was left as it is when one before it failed; none: anything.
    """
    return bool(reasons) and any(_out.values()) and (service is None or service in _out)


def does_not_hold() -> bool:
    """Whether a service that was brought out does not hold, so that it may serve nobody."""
    return bool(_sick)


@operation()
@on_runner
def told(service: str | None, mode: str) -> Steps:
    """
    Tell people how the release ended; a failure when anything of it failed, with the command to type next.

    + service: the one that was released; none: all
    + mode: ``offer`` or ``automatic``
    """
    if not state.is_executing:
        return
    here = runner.environment()
    if failures:
        title, body, hint = _failed(here.name, service, mode)
    else:
        title, body, hint = f"{here.name}: released", _success(here.name), ""
    for problem in notices.tell(here.notify, title, f"{body}\n{hint}".strip(), bad=bool(failures)).values():
        output.say(f"not told: {problem}")
    if failures:
        raise ServiceError(body, hint)
    output.say(body)
    yield from ()


def _success(name: str) -> str:
    return f"{name} is released: {', '.join(_out)}" if _out else f"{name} has no services; all else is done"


def _failed(name: str, service: str | None, mode: str) -> tuple[str, str, str]:
    """Title, what happened, and what to type next."""
    back = f"type: {arguments.command('deploys/rollback.py', service=service)}"
    if not _out:
        body = f"nothing was brought out, because of {failures}"
        return f"{name}: not released", body, f"Mend that, then type: {arguments.command()}"
    if reasons and not must_go_back():
        body = f"this run has changed no service, so there is nothing to go back from ({failures})"
        return f"{name}: not as it must be", body, f"Mend that, then type: {arguments.command()}"
    if not reasons:
        body = f"the release is out, and goes on serving: what is wrong was so before, or is not known ({failures})"
        return f"{name}: released, and not as it must be", body, f"To go back nevertheless, {back}"
    if mode == "offer":
        return f"{name}: the release failed", f"the release failed: {failures}", f"To go back, {back}"
    if rollback.done():
        if _still:
            body = (
                f"the release failed and was rolled back ({failures}); right after that {', '.join(_still)} still fails"
            )
            return f"{name}: rolled back, and not well", body, f"Look again: {arguments.command('deploys/verify.py')}"
        return f"{name}: rolled back", f"the release failed and was rolled back: {failures}", ""
    more = f"; {rollback.failures}" if rollback.failures else ""
    body = f"the release failed, and could not be rolled back: {failures}{more}"
    return f"{name}: the release failed, and so did the rollback", body, f"Look at what is said above, then {back}"


def mode(given: str | None) -> str:
    """What is done when the release is not well, as ``--data rollback=…`` or else the environment says.

    Raises:
        ConfigurationError: there is no such mode.
    """
    chosen = runner.environment().watch.rollback if given is None else given
    if chosen not in MODES:
        raise ConfigurationError(f"rollback={chosen} is not known", f"Write one of: {', '.join(MODES)}")
    return chosen


def _stage(what: str, steps: Steps) -> Steps:
    """A stage of the release, which is left out after a failure."""
    if not (failures and state.is_executing):
        yield from failures.noted(what, steps)
