"""The plan of a rollback, as a tired person reads it before saying yes."""

from __future__ import annotations

from textwrap import wrap

from ops import clock
from ops.operations import loss, table
from ops.rollback import Plan
from ops.ways import Way

_DATABASE = {
    "keep": "the database stays as it is",
    "revert": "the migrations above are undone, newest first, once that was rehearsed on a copy",
    "branch": "its branch on Neon goes back to a restore point; what it has now is kept as a branch of its own",
    "restore": "a backup takes the database's place; the database that is there now is kept under another name",
}
_WENT_BACK = "it went back in a run that was cut; that it did is proved now"
_IF_IT_FAILS = (
    "if it fails: what comes after is left as it is, nginx shows its maintenance page where it can, and the same "
    "command, typed again, goes on from there"
)


def render(made: Plan, environment: str, width: int = table.WIDTH) -> str:
    """The plan, at most ``width`` columns wide."""
    parts = [_table(
        f"rollback of {environment}",
        ["service", "serves", "since", "goes back to", "which served"],
        [_row(way) for way in made.ways],
        width,
    )]  # fmt: skip
    parts += [f"{way.service}: {way.why}" for way in made.ways if way.to is None and way.why]
    if not made.changes:
        return "\n".join([*parts, "there is nothing to roll back"])
    if made.undo:
        rows = [[one["id"], one["impact"], "; ".join(one["reasons"])] for one in made.undo]
        title = f"migrations since {made.migration}, newest first"
        parts.append(_table(title, ["migration", "for old code", "why"], rows, width))
    elif made.undo is None:
        parts.append("which migrations were applied since then is not known")
    parts += wrap(f"database: {_WENT_BACK if made.restored else _DATABASE[made.database]}", width)
    if made.loss is not None and not made.restored:
        parts.append(loss.render(dict(made.loss), width))
    if made.took is not None:
        parts.append(f"the last rollback took {made.took:.0f} s")
    return "\n".join([*parts, *wrap(_IF_IT_FAILS, width)])


def sentence(made: Plan) -> str:
    """What was done, in one line."""
    went = [f"{way.service} serves {way.to} again (before: {', '.join(way.serving)})" for way in made.ways if way.to]
    done = {"keep": "the database stayed", "revert": f"the database is back at {made.migration}"}
    database = done.get(made.database) or f"the database is {made.source}, restored"
    return "; ".join([*went, database])


def _row(way: Way) -> list[str]:
    since, served = way.since and clock.iso(way.since), way.served and clock.iso(way.served)
    return [way.service, ", ".join(way.serving) or "unknown", since or "", way.to or "stays", served or ""]


def _table(title: str, headings: list[str], rows: list[list[str]], width: int) -> str:
    return table.rendered(title, {heading: {"overflow": "fold"} for heading in headings}, rows, width).rstrip()
