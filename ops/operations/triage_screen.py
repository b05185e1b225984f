"""The picture of an environment on one screen: what is urgent first, and of everything no more than a few rows."""

from __future__ import annotations

from functools import partial
from typing import Any

from ops.operations import table, triage_database
from ops.operations.screen import CUT, NUMBER, Screen, age, more

BAD = 6
"""Checks that are not as they must be, of which more is said."""


def render(taken: dict[str, Any], since: str, slow: str, width: int = table.WIDTH) -> str:
    """A picture as lines of text, at most ``width`` columns wide.

    Args:
        taken: what ``ops.triage.picture`` answered.
        since: for how long lines of logs count, as it was typed.
        slow: what a statement takes on average to be a slow one, as it was typed.
        width: columns.
    """
    screen = Screen(taken, width)
    server = taken.get("server")
    about = f": {server['database']} on PostgreSQL {server['version']}" if server else ""
    screen.say(f"triage of {taken['environment']} at {taken['time']}{about}")
    screen.part("database", "database", lambda screen, found: None)
    screen.part("checks", "checks", _checks)
    screen.part("connections", "connections", triage_database.connections)
    screen.part("blocked", "waiting for locks", triage_database.blocked)
    _logs(screen, since)
    screen.part("queues", "queues", _queues)
    screen.part("lock", "at work on it", _lock)
    screen.part("history", "last runs", _history)
    screen.part("statements", "slow statements", partial(triage_database.statements, slow=slow))
    screen.part("tables", "tables that want vacuum or analyze", triage_database.tables)
    screen.part("indexes", "indexes that nobody needs", triage_database.indexes)
    return "\n".join(screen.lines)


def _logs(screen: Screen, since: str) -> None:
    """The kinds of errors in the logs."""
    logs = screen.taken["logs"]
    known = [one["found"] for one in logs.values() if not one["unknown"]]
    if not logs:
        return
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for log in known:
        for kind, count in log["kinds"].items():
            counts.setdefault((log["service"], kind), {})[log["where"]] = count
    ordered = sorted(counts.items(), key=lambda one: -sum(one[1].values()))
    errors = sum(sum(where.values()) for _, where in ordered)
    if known:
        screen.say(f"errors in the logs since {since}: {errors or 'none'}")
    rows = [
        [f"{sum(where.values())}", service, next(iter(where)) if len(where) == 1 else f"{len(where)} hosts", kind]
        for (service, kind), where in ordered
    ]
    screen.rows({"count": NUMBER, "service": CUT, "where": CUT, "kind": CUT}, rows, 5)
    _doubts(screen, known)
    why: dict[tuple[str, str], list[str]] = {}
    for name, one in logs.items():
        if one["unknown"]:
            why.setdefault((one["unknown"], one["hint"]), []).append(name)
    for (problem, hint), names in list(why.items())[:3]:
        screen.say(f"{names[0]}{more(names[1:])}: unknown: {problem}. {hint}")


def _doubts(screen: Screen, known: list[dict[str, Any]]) -> None:
    """What is to be known of the logs that were read."""
    doubts = {
        "has no times, so that its newest lines count, however old": [one for one in known if not one["dated"]],
        "was read in part, its newest lines": [one for one in known if one["dated"] and not one["whole"]],
        "has no line at all": [one for one in known if one["silent"]],
    }
    for doubt, logs in doubts.items():
        names = list(dict.fromkeys(_named(one) for one in logs))
        if names:
            screen.say(f"the log of {names[0]}{more(names[1:])} {doubt}", 2)


def _queues(screen: Screen, found: list[dict[str, Any]]) -> None:
    """What waits in the queues."""
    waiting = sum(one["messages"] for one in found)
    paused = [one["queue"] for one in found if one["paused"]]
    words = f"{len(found)}, in which {waiting:,} messages wait" if waiting else f"{len(found)}, all empty"
    screen.say(f"queues: {words}" + (f"; paused: {', '.join(paused)}" if paused else ""))
    busy = [one for one in found if one["messages"]]
    columns = {"queue": CUT, "messages": NUMBER, "oldest": NUMBER, "": CUT}
    rows = [
        [one["queue"], f"{one['messages']:,}", age(one["oldest"]), "paused" if one["paused"] else ""] for one in busy
    ]
    screen.rows(columns, rows, 3)


def _checks(screen: Screen, found: list[dict[str, Any]]) -> None:
    """What of the checks is not as it must be, and that the upstreams are."""
    bad = [one for one in found if one["outcome"] != "pass"]
    screen.say(f"checks: {len(bad) or 'none'} of {len(found)} not as they must be")
    for one in bad[:BAD]:
        must = f" (must be {one['limit']})" if one["limit"] else ""
        screen.say(f"{one['outcome'].upper()} {_check(one)}: {one['value']}{must}. {one['hint']}", 2)
    if len(bad) > BAD:
        screen.say(f"and {len(bad) - BAD} more: deploys/verify.py", 2)
    well = [_check(one) for one in found if one["outcome"] == "pass" and one["kind"] in ("upstream", "backlog")]
    if well:
        screen.say(f"well: {', '.join(well[:6])}{more(well[6:])}", 2)


def _lock(screen: Screen, found: dict[str, Any]) -> None:
    """Who is at work."""
    held = found["held"]
    who = [f"{held.get('owner')} since {held.get('started')} for {held.get('reason')}"] if held else []
    who += [found["reserved"]] if found["reserved"] else []
    screen.say(f"at work on it: {'; '.join(who) or 'nobody'}")


def _history(screen: Screen, found: dict[str, Any]) -> None:
    """What was done to it last."""
    runs, releases = found["runs"], found["releases"]
    screen.say("last runs:" if runs else "last runs: none on record")
    columns = {"begun": CUT, "deploy": CUT, "with": CUT, "who": CUT, "result": CUT, "reason": CUT}
    rows = [
        [one["started"], one["deploy"], " ".join(f"{name}={value}" for name, value in one["arguments"].items()),
         one["who"], one["result"] or "unfinished", one["reason"] or ""]
        for one in runs
    ]  # fmt: skip
    screen.rows(columns, rows[:3], 3)
    if releases:
        screen.say("last releases:")
        columns = {"since": CUT, "service": CUT, "release": CUT, "migration": CUT}
        told = [[one["time"], one["service"], one["release"], one["migration"] or ""] for one in releases]
        screen.rows(columns, told, 3)


def _named(log: dict[str, Any]) -> str:
    return f"{log['service']} on {log['where']}"


def _check(one: dict[str, Any]) -> str:
    name = f"{one['check']}: {one['what']}" if one["what"] else str(one["check"])
    return f"{name} ({one['where']})" if one["where"] else name
