"""What a restore would lose, as a table that a tired person understands."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from ops import clock
from ops.operations import table

_COUNTED = (
    "these are differences of counts: what was changed since, or replaced by as many other rows, is lost as well and "
    "cannot be counted"
)
_NUMBER = {"justify": "right", "no_wrap": True}
SHOWN = 20
"""Tables, those that would lose the most."""


def render(known: dict[str, Any], width: int = table.WIDTH) -> str:
    """What the worker's verb ``loss`` or ``branch`` answered, at most ``width`` columns wide."""
    branch = known.get("branch")
    name, age = (branch["name"], branch["age"]) if branch else (known["backup"]["id"], known["backup"]["age"])
    source = "branch" if branch else "backup"
    title = f"what {'going back to' if branch else 'a restore of'} {name} ({clock.age(age)} old) would lose"
    columns: dict[str, dict[str, Any]] = {
        "table": {"overflow": "fold"},
        "rows now": _NUMBER,
        f"in the {source}": _NUMBER,
        "lost": _NUMBER,
        "newest time in it": {"no_wrap": True},
    }
    rows = [
        [one["table"], _number(one["now"]), _number(one["then"]), _lost(one), one["newest"] or ""]
        for one in known["tables"][:SHOWN]
    ]
    empty = f"no table has more rows, or newer ones, than the {source}"
    remarks = _common(known, width) + (_of_branch(known, width) if branch else _of_backup(known))
    return table.rendered(title, columns, rows, width, empty) + "\n".join(remarks)


def _common(known: dict[str, Any], width: int) -> list[str]:
    remarks = []
    if len(known["tables"]) > SHOWN:
        remarks.append(f"and {len(known['tables']) - SHOWN} more tables")
    remarks += wrap(_COUNTED, width)
    remarks += [f"schema: {one}" for one in known["schema"][:SHOWN]]
    if len(known["schema"]) > SHOWN:
        remarks.append(f"and {len(known['schema']) - SHOWN} more objects of the schema")
    return remarks


def _of_branch(known: dict[str, Any], width: int) -> list[str]:
    remarks = [f"will be cut off: {one}" for one in known["sessions"]]
    if known["others"]:
        others = f"{', '.join(known['others'][:SHOWN])}: the whole branch goes back"
        remarks += wrap(f"as old as that will also be the databases {others}", width)
    return remarks


def _of_backup(known: dict[str, Any]) -> list[str]:
    remarks = []
    took = known["took"].get("restore")
    if took:
        remarks.append(f"the last restore of this backup took {took:.1f} s; the database serves meanwhile")
    remarks += [f"will be ended at the swap: {one}" for one in known["sessions"]]
    remarks += [f"stays with the old database: the replication slot {slot}" for slot in known["stays_behind"]]
    if known["free"] is None:
        remarks.append(f"free space on the server is not known from here; needed: {known['size'] / 1e6:.0f} MB")
    return remarks


def _number(rows: int | None) -> str:
    return "no table" if rows is None else f"{rows:,}"


def _lost(one: dict[str, Any]) -> str:
    if one["now"] is None:
        return "comes back"
    lost = one["now"] - (one["then"] or 0)
    if lost == 0:
        return "replaced"
    return f"{lost:,}" if lost > 0 else f"{-lost:,} come back"
