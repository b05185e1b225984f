"""Operations on the connections to the database: end those that have been idle for long, end one that blocks others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pyinfra.api.operation import operation

from ops import clock, output, recorder, runner
from ops.confirmation import confirmed
from ops.errors import ConfigurationError, printable
from ops.operations import table
from ops.steps import Step, Steps, on_runner, plan

_shown: dict[tuple[object, ...], set[tuple[int, str]]] = {}
"""Who was shown in the plan, by what was asked for: nobody else is ended."""
_COLUMNS: dict[str, dict[str, Any]] = {
    "application": {"overflow": "fold"},
    "role": {"overflow": "fold"},
    "state": {"overflow": "fold"},
    "count": {"justify": "right", "no_wrap": True},
    "longest": {"justify": "right", "no_wrap": True},
}


@operation()
@on_runner
def terminated_idle(older_than: str, application: str | None = None, confirm: str | None = None) -> Steps:
    """
    End the connections to the database that have been idle for longer than a time, also those idle in a transaction,
    which is lost. Shown before: how many of which application. Only those are ended that were shown and are idle still.
    Never one of our own. No change when there is none.

    + older_than: for how long they must have been idle, such as ``5m``
    + application: only those that call themselves so; none: all
    + confirm: the environment's name, where it is protected and one of them has written something in its transaction

    **Example:**

    .. code:: python

        sessions.terminated_idle(name="End idle connections", older_than="30m", application="api")
    """
    seconds = clock.duration(older_than)
    if seconds <= 0:
        raise ConfigurationError(f"idle={older_than} is no time at all", "Write --data idle=5m")
    here = runner.environment()
    asked = {"kind": "end_idle", "older_than": seconds, "application": _text(application)}
    answer = runner.ask("terminate", look=True, treatment=asked)
    key = ("idle", older_than, application)
    planned = _shown.get(key)
    found = [one for one in answer["found"] if planned is None or (one["pid"], one["started"]) in planned]
    ours = [one for one in found if one["endable"]]
    for line in _left_alone([one for one in found if not one["endable"]], answer["hidden"]):
        output.say(line)
    if not ours:
        of = f" of {application}" if application else ""
        output.say(f"no connection{of} that may be ended has been idle for {older_than}")
        return
    if planned is None:
        output.table(_preview(f"idle for {older_than} or longer", ours))
    lost = sum(one["wrote"] for one in ours)
    if lost:
        output.say(f"what {lost} of them wrote in a transaction that is open still is lost with them")
        confirmed(here, confirm)
    _shown.setdefault(key, {(one["pid"], one["started"]) for one in ours})
    words = f"End {len(ours)} idle connection{'s' if len(ours) > 1 else ''} to {here.database.name()}"
    plan(words)
    only = [{"pid": one["pid"], "started": one["started"]} for one in ours]
    yield Step(words, lambda: _end_idle({**asked, "only": only}))


def _end_idle(treatment: dict[str, Any]) -> None:
    answer = runner.ask("terminate", show=True, treatment=treatment)
    recorder.know(ended=answer["ended"])
    left = f"; {answer['left']} were not idle any more, or gone" if answer["left"] else ""
    output.say(f"{answer['ended']} connection{'s' if answer['ended'] != 1 else ''} ended{left}")


@operation()
@on_runner
def terminated(pid: int | str, confirm: str | None = None) -> Steps:
    """
    End one connection to the database, whatever it does: its transaction is lost. Shown before: who it is, and who
    waits for it. No change when it is gone already.

    + pid: of its process on the server, as ``deploys/triage.py`` shows it
    + confirm: the environment's name, where it is protected

    **Example:**

    .. code:: python

        sessions.terminated(name="End the blocker", pid=4711)
    """
    if isinstance(pid, bool) or not str(pid).isdecimal() or not 0 < int(pid) < 2**31:
        raise ConfigurationError(f"terminate={pid} is no pid", "deploys/triage.py shows who blocks whom, with pids")
    here, number = runner.environment(), int(pid)
    answer = runner.ask("terminate", look=True, treatment={"kind": "end_session", "pid": number})
    key = ("pid", number)
    planned = _shown.get(key)
    one = answer.get("session")
    if one is None or (planned is not None and (number, one["started"]) not in planned):
        output.say(f"there is no session {number}, or none any more")
        return
    waiting = answer["waiting"]
    if planned is None:
        output.say(_described(one))
        output.say(f"for it wait: {', '.join(map(str, waiting))}" if waiting else "nobody waits for it")
    confirmed(here, confirm)
    _shown[key] = {(number, one["started"])}
    words = (
        f"End the session {number} of {printable(one['role'])}{f', for which {len(waiting)} wait' if waiting else ''}"
    )
    plan(words)
    treatment = {"kind": "end_session", "pid": number, "started": one["started"]}
    yield Step(words, lambda: _end_one(number, treatment))


def _end_one(pid: int, treatment: dict[str, Any]) -> None:
    answer = runner.ask("terminate", show=True, treatment=treatment)
    if answer["gone"]:
        output.say(f"the session {pid} went by itself")
        return
    recorder.know(ended=1)
    output.say(f"the session {pid} is ended")


def _preview(title: str, found: list[dict[str, Any]], width: int = table.WIDTH) -> str:
    """How many of which application, role and state; the most first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    longest: dict[tuple[str, str, str], float] = {}
    for one in found:
        group = (one["application"] or "-", one["role"], one["state"])
        counts[group] += 1
        longest[group] = max(longest.get(group, 0.0), one["seconds"])
    rows = [[*map(printable, group), f"{count}", clock.age(longest[group])] for group, count in counts.most_common()]
    return table.rendered(title, _COLUMNS, rows, width).rstrip()


def _left_alone(found: list[dict[str, Any]], hidden: int) -> list[str]:
    """Those that stay, because our role may not end them or not even see them."""
    lines = []
    if found:
        roles = ", ".join(sorted({one["role"] for one in found}))
        lines.append(
            printable(f"{len(found)} idle connections stay, which this role may not end; they are of: {roles}")
        )
    if hidden:
        lines.append(f"{hidden} connections of other roles stay: whether they are idle is hidden from this role")
    return lines


def _described(one: dict[str, Any]) -> str:
    application = f" ({one['application']})" if one["application"] else ""
    opened = "" if one["open"] is None else f", in a transaction of {clock.age(max(0.0, one['open']))}"
    wrote = ", which has written" if one["wrote"] else ""
    who = f"{one['pid']} is {one['role']}{application} from {one['address']}"
    return printable(f"{who}, {one['state']}{opened}{wrote}: {one['query']}")


def _text(given: object) -> str | None:
    """What pyinfra may have taken for a number."""
    return None if given is None else str(given)
