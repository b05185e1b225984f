"""Operations of a refresh: plan, bring the data beside and mask it, migrate, swap in, restart, verify, and tell."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import Any

from pyinfra import state
from pyinfra.api.operation import operation

from ops import arguments, clock, environment_lock, notices, output, recorder, runner, verification
from ops.checks import Backups
from ops.checks.result import Baseline, by_severity
from ops.environment import Environment
from ops.errors import ConfigurationError, ServiceError, Unclassified
from ops.failures import Failures
from ops.operations import checks, services, table
from ops.refresh import Refresh
from ops.steps import Step, Steps, guarded, on_runner, plan

failures = Failures()
"""Of this run: what comes after one is left out."""
_before = Baseline()
"""What was not as it must be before the refresh, of the hosts, the server and the stores."""
_known: dict[str, Any] = {}
"""What the runner told of source and database, once it has."""
_done: dict[str, Any] = {}
"""What this run has done: ``refresh``, ``swap``, ``back``: the worker's answers."""
_EFFECT = (
    "nothing of it is seen before it is masked and proved; the database that is there now serves meanwhile, and is "
    "kept until the next refresh"
)

_CUT = (
    "masked by the same rules, already; but the refresh that swapped it in was cut before it was verified: services "
    "are restarted and it is verified now, and what does not hold is swapped back"
)
_PROPOSAL = "proposals: read every line before you paste it into Masking(tables={…}) of the inventory"
_PARTS = {
    "unclassified": "without a rule; each is a proposal, to be read before it is pasted into tables={…}:",
    "stale": "about what is not there any more:",
    "unfit": "rules that do not fit:",
}


@operation()
@on_runner
def planned(backup: str | None = None) -> Steps:
    """
    Find the newest proven backup of the other environment, or see its branch, and print what will be done. Never a
    change; refused on a protected environment.

    + backup: the id of the one to take; none: the newest proven one
    """
    yield from failures.noted("the plan", _planned(backup))


def _planned(backup: str | None) -> Steps:
    here = runner.environment()
    _described(here)
    known = runner.ask("refresh", look=True, backup=backup)
    _known.update(known)
    current = known["current"]
    if not _wanted(backup) and "before" in current and "holds" not in current:
        environment_lock.require_free()
        _done["swap"] = {"kept": current["before"]}
        output.table("\n".join(wrap(f"{here.name} has {current['restored']}, {_CUT}", table.WIDTH)))
    elif not _wanted(backup):
        output.say(f"{here.name} has {current['restored']}, masked by the same rules, already: nothing to refresh")
        output.say(f"To do so once more: --data backup={current['restored'].partition('/')[2]}")
        if known["left"]:
            words = f"Drop {', '.join(known['left'])}, in which a killed run has left what is not masked"
            plan(words)
            yield Step(words, _forget)
        return
    else:
        environment_lock.require_free()
        output.table("\n".join(_lines(here, known)))
    if state.is_executing and (_wanted(backup) or "swap" in _done):
        asked = [one for one in verification.checks(here) if one.preflight or isinstance(one, Backups)]
        _before.take(verification.verify(here, asked))
    yield from ()


@operation()
@on_runner
def classified(backup: str | None = None) -> Steps:
    """
    Propose a rule for every column that has none, by its name, its type and a sample of its values, none of which is
    shown. For that the data is brought into a scratch database, which is gone afterwards. Never a change.

    + backup: the id of the one to look at; none: the newest proven one
    """
    here = runner.environment()
    _described(here)
    if not state.is_executing:
        return
    answer = runner.ask("classify", show=True, backup=backup)
    if not answer["lines"]:
        output.say(f"every column of {answer['source']} has a rule")
        return
    needed = [name for name in ("Json", "Noise", "Shift") if any(f": {name}(" in line for line in answer["lines"])]
    imports = [f"they need: from ops import {', '.join(needed)}"] if needed else []
    output.table("\n".join([_PROPOSAL, *imports, *answer["lines"]]))
    output.attach("proposed", answer["lines"])
    output.say(f"{answer['columns']} columns of {answer['source']} have no rule yet")
    yield from ()


def _described(here: Environment) -> Refresh:
    if here.protected:
        raise ConfigurationError(
            f"{here.name} is protected: it is never refreshed", "Did you mean another inventory, such as staging?"
        )
    if here.refresh is None:
        raise ConfigurationError(
            f"the environment {here.name} does not say where it is refreshed from",
            "Write refresh=Refresh(source=BackupOf(…), masking=Masking(…)) in its inventory: docs/refresh.md",
        )
    return here.refresh


def _wanted(backup: str | None) -> bool:
    current = _known["current"]
    same = current.get("restored") == _known["source"] and current.get("masked") == _known["masked"]
    return backup is not None or not same or "undone" in current


def _lines(here: Environment, known: dict[str, Any]) -> list[str]:
    name = here.database.name()
    backup = known.get("backup")
    age = f", {clock.age(backup['age'])} old, proven" if backup else ""
    current = known["current"].get("restored")
    lines = [
        f"refresh of {here.name}",
        f"from: {known['source']}{age}",
        f"to: {name}, which {f'has {current}' if current else 'was never refreshed'}",
        f"beside: {known['beside']}, until it is swapped in",
    ]
    return [*lines, *wrap(_EFFECT, table.WIDTH)]


@operation()
@on_runner
def masked(backup: str | None = None) -> Steps:
    """
    Bring the data beside the database, every column masked by its rule, with indexes and constraints, and prove it. A
    column without a rule ends it before any row is anywhere.

    + backup: as in ``planned``
    """
    if not _goes_on() or not _wanted(backup):
        return
    words = f"Bring {_known['source']} beside as {_known['beside']}, masked, and prove it"
    plan(words)
    yield from failures.noted("masking", _one(words, lambda: _mask(backup)))


def _mask(backup: str | None) -> None:
    id = _known.get("backup", {}).get("id")
    recorder.know(refresh={"source": _known["source"]})
    try:
        answer = runner.ask("refresh", show=True, backup=backup or id)
    except Unclassified as refused:
        output.table("\n".join(_to_be_written(refused.report or {})))
        output.attach("refused", refused.report)
        raise
    _done["refresh"] = answer
    output.attach("refresh", {"source": _known["source"], "seconds": answer["seconds"], "rows": answer["rows"]})
    recorder.know(refresh={"seconds": answer["seconds"], "rows": sum(answer["rows"].values())})
    seconds = ", ".join(f"{step} {spent:.1f}" for step, spent in answer["seconds"].items())
    output.table("\n".join(wrap(f"seconds: {seconds}", table.WIDTH)))


def _to_be_written(report: dict[str, list[str]]) -> list[str]:
    lines = []
    for part, words in _PARTS.items():
        if found := report.get(part):
            lines += [words, *(f"    {line}" for line in found)]
    return lines


@operation()
@guarded
def migrated() -> Steps:
    """
    Apply to the masked database the migrations that the code here has and production has not yet. What the code here
    does not know is a failure.
    """
    here = runner.environment()
    on = here.migrations.hosts if here.migrations else "runner"
    if not runner.is_first_of(on) or not _goes_on() or not state.is_executing or "refresh" not in _done:
        return
    words = f"Migrate {_known['beside']} to the code of {here.name}"
    yield from failures.noted("the migrations", _one(words, _advance))


def _advance() -> None:
    applied = runner.ask("advance", show=True)["applied"]
    _done["advance"] = True
    recorder.know(refresh={"applied": applied})
    output.note(f"applied: {', '.join(applied) or 'nothing was pending'}")


@operation()
@on_runner
def swapped() -> Steps:
    """
    Let the masked database take the place of the one that is there, which is kept.
    """
    if not _goes_on() or not state.is_executing or "advance" not in _done:
        return
    words = f"Swap it in: {_known['beside']} becomes {runner.environment().database.name()}"
    yield from failures.noted("the swap", _one(words, _swap))


def _swap() -> None:
    answer = runner.ask("swap", show=True)
    _done["swap"] = answer
    recorder.know(kept=answer["kept"])


@operation()
@guarded
def restarted(service: str) -> Steps:
    """
    Restart a service, as ``services.restart`` does, so that it forgets the database that it knew.

    + service: its name
    """
    if failures or not state.is_executing or "swap" not in _done:
        return
    yield from failures.noted(service, services.restart._inner(service=service))


@operation()
@on_runner
def verified() -> Steps:
    """
    Ask every check of the environment, once the masked database serves. What hosts, server and stores lacked before is
    shown, and is no failure of the refresh. Never a change.
    """
    if failures or not state.is_executing or "swap" not in _done:
        return
    yield from failures.noted("the verification", _verified())


def _verified() -> Steps:
    here = runner.environment()
    results = verification.verify(here, verification.checks(here))
    checks.show(here.name, results)
    old = [one.full_name for one in by_severity(results) if one.outcome.bad and _before.had(one)]
    if old:
        output.say(f"not the refresh's doing, as it was so before: {', '.join(old)}")
    checks.require_good(here.name, [one for one in results if not _before.had(one)])
    yield from ()


@operation()
@on_runner
def swapped_back() -> Steps:
    """
    After a failure since the swap, let the database that was there take its place again.
    """
    if not failures or not state.is_executing or "swap" not in _done:
        return
    name = runner.environment().database.name()
    words = f"Swap back: {_done['swap']['kept']} becomes {name} again"
    yield from failures.noted("the way back", _one(words, _swap_back))


def _swap_back() -> None:
    _done["back"] = runner.ask("swap", show=True, undo=True)


@operation()
@guarded
def restarted_back(service: str) -> Steps:
    """
    Restart a service again, once the database that was there has its place again.

    + service: its name
    """
    if "back" in _done and state.is_executing:
        yield from services.restart._inner(service=service)


@operation()
@on_runner
def tidied() -> Steps:
    """
    Drop what the refresh before had kept: one way back is enough.
    """
    if failures or not state.is_executing or "swap" not in _done:
        return
    yield from failures.noted("tidying", _one("Drop what the refresh before had kept", _forget))


def _forget() -> None:
    dropped = runner.ask("forget", show=True)["dropped"]
    output.note(f"dropped: {', '.join(dropped) or 'nothing was kept'}")


@operation()
@on_runner
def told() -> Steps:
    """
    Tell people how it ended; a failure when anything of it failed.
    """
    if not state.is_executing or not (failures or "swap" in _done):
        return
    here = runner.environment()
    if failures:
        now = "the database that was there serves again" if "back" in _done else "the database stayed as it was"
        if "swap" in _done and "back" not in _done:
            now = "the refreshed database serves"
        title, body = f"{here.name}: the refresh failed", f"the refresh failed, {now}: {failures}"
    else:
        title, body = f"{here.name}: refreshed", f"{here.name} is refreshed from {_known['source']}, masked"
    for problem in notices.tell(here.notify, title, body, bad=bool(failures)).values():
        output.say(f"not told: {problem}")
    if failures:
        raise ServiceError(body, f"Mend that, then type: {arguments.command()}")
    output.say(f"{body}; the one before is kept as {_done['swap']['kept']}")
    yield from ()


def _one(words: str, do: Callable[[], object]) -> Steps:
    yield Step(words, do)


def _goes_on() -> bool:
    """Whether there is a plan, and nothing has failed yet."""
    return bool(_known) and not (failures and state.is_executing)
