"""The database's part of the screen: who is connected, who waits for whom, what is slow, what wants upkeep."""

from __future__ import annotations

from typing import Any

from ops import triage
from ops.operations.screen import CUT, NUMBER, Screen, age

CROWDED = 0.8
"""Share of the connections from which it is said how to have fewer."""


def connections(screen: Screen, found: dict[str, Any]) -> None:
    """Who is connected."""
    oldest = found["oldest"]
    screen.say(
        f"connections: {found['used']} of {found['limit']} in use"
        + (f"; the oldest transaction is {age(oldest['seconds'])} old: {_who(oldest)}" if oldest else "")
    )
    columns = {"state": CUT, "application": CUT, "count": NUMBER, "longest": NUMBER}
    groups = found["groups"]
    rows = [[one["state"], one["application"] or "-", f"{one['count']}", age(one["longest"])] for one in groups]
    screen.rows(columns, rows, 4)
    if found["used"] >= CROWDED * found["limit"]:
        screen.say(f"to end those that are idle: {screen.treat('idle=5m')}", 2)
    for one in found["prepared"][:1]:
        words = f"the prepared transaction {one['gid']} is {age(one['seconds'])} old: ROLLBACK PREPARED, or COMMIT"
        screen.say(words, 2)
    if found["hidden"]:
        screen.say(f"{found['hidden']} sessions are hidden from this role. {triage.grant(found['role'])}", 2)


def blocked(screen: Screen, found: list[dict[str, Any]]) -> None:
    """Who waits for whom."""
    if not found:
        screen.say("waiting for locks: nobody")
        return
    waiting = sum(bool(one["blockers"]) for one in found)
    screen.say(f"waiting for locks: {waiting} session{'s' if waiting > 1 else ''}")
    for one in found[:7]:
        screen.cut(f"{'└─ ' if one['depth'] else ''}{_session(one)}", 2 + 3 * max(0, one["depth"] - 1))
    if len(found) > 7:
        screen.say(f"and {len(found) - 7} more", 2)
    roots = [one["pid"] for one in found if not one["depth"] and one["pid"]]
    for root in roots[:2]:
        screen.say(f"to end {root}: {screen.treat(f'terminate={root}', loses=True)}", 2)


def statements(screen: Screen, found: dict[str, Any], slow: str) -> None:
    """What takes long."""
    if "missing" in found:
        screen.say(f"slow statements: not counted here. To have them counted: {found['missing']}")
        return
    since = f", counted for {age(found['since'])}" if found["since"] is not None else ""
    screen.say(f"statements that take {slow} or more on average{since}: {found['slow'] or 'none'}")
    rows = [
        [_seconds(one["mean"]), f"{one['calls']:,}", f"{100 * (one['share'] or 0):.0f} %", one["query"]]
        for one in found["rows"]
    ]
    columns = {"mean": NUMBER, "calls": NUMBER, "share": NUMBER, "statement": CUT}
    screen.rows(columns, rows, 4, found["slow"])


def tables(screen: Screen, found: list[dict[str, Any]]) -> None:
    """What wants vacuum."""
    if not found:
        screen.say("tables that want vacuum or analyze: none")
        return
    first = found[0]["table"]
    screen.say(f"tables to which autovacuum should have come; {screen.treat(f'vacuum={first}')}:")
    columns = {"table": CUT, "size": NUMBER, "dead rows": NUMBER, "of": NUMBER, "vacuumed": NUMBER,
               "changed": NUMBER, "analyzed": NUMBER, "": CUT}  # fmt: skip
    rows = [
        [
            one["table"], _size(one["size"]), f"{one['dead']:,}", f"{one['dead'] + one['live']:,}",
            _ago(one["vacuumed"]), f"{one['modified']:,}", _ago(one["analyzed"]),
            "being vacuumed" if one["now"] else "autovacuum is off" if one["off"] else "",
        ]
        for one in found
    ]  # fmt: skip
    screen.rows(columns, rows, 3, found[0]["wanting"])


def indexes(screen: Screen, found: dict[str, Any]) -> None:
    """What could go."""
    rows = [
        [
            one["index"],
            one["table"],
            _size(one["size"]),
            f"{one['other']} {'is the same' if one['whole'] else 'begins so'}",
        ]
        for one in found["duplicate"]
    ]
    rows += [[one["index"], one["table"], _size(one["size"]), "never read"] for one in found["unused"]]
    if not rows:
        screen.say("indexes that nobody needs: none")
        return
    since = found["since"]
    counted = "since the database was made" if since is None else f"for {age(since)}"
    young = ", which is not long" if since is not None and since < 7 * 86400 else ""
    screen.say(f"indexes that nobody seems to need; reads are counted {counted}{young}:")
    screen.rows({"index": CUT, "table": CUT, "size": NUMBER, "why": CUT}, rows, 4)


def _session(one: dict[str, Any]) -> str:
    if not one["pid"]:
        return "a prepared transaction: look into pg_prepared_xacts, and ROLLBACK PREPARED it, or COMMIT"
    if "state" not in one:
        return f"{one['pid']}, which is gone by now"
    if one["depth"]:
        where = f"a row of {one['table']}" if one["locktype"] in ("transactionid", "tuple") else f"{one['mode']}"
        on = f" on {one['table']}" if one["table"] and not where.endswith(one["table"]) else ""
        where = where if one["table"] or one["locktype"] != "transactionid" else "the end of a transaction"
        return f"{_who(one)} waits {age(one['waits'])} for {where}{on}: {one['query']}"
    return f"{_who(one)}, {one['state'] or 'hidden'}, open for {age(one['open'])}: {one['query']}"


def _who(one: dict[str, Any]) -> str:
    application = f" ({one['application']})" if one["application"] else ""
    return f"{one['pid']} {one['role'] or 'of the server itself'}{application}"


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{age(seconds)} ago"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.0f} s"


def _size(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
