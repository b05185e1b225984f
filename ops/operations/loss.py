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
_COLUMNS: dict[str, dict[str, Any]] = {
    "table": {"overflow": "fold"},
    "rows now": {"justify": "right", "no_wrap": True},
    "in the backup": {"justify": "right", "no_wrap": True},
    "lost": {"justify": "right", "no_wrap": True},
    "newest time in it": {"no_wrap": True},
}
SHOWN = 20
"""Tables, those that would lose the most."""


def render(known: dict[str, Any], width: int = table.WIDTH) -> str:
    """What the worker's verb ``loss`` answered, at most ``width`` columns wide."""
    backup = known["backup"]
    title = f"what a restore of {backup['id']} ({clock.age(backup['age'])} old) would lose"
    rows = [
        [one["table"], _number(one["now"]), _number(one["then"]), _lost(one), one["newest"] or ""]
        for one in known["tables"][:SHOWN]
    ]
    empty = "no table has more rows, or newer ones, than the backup"
    return table.rendered(title, _COLUMNS, rows, width, empty) + "\n".join(_remarks(known, width))


def _remarks(known: dict[str, Any], width: int) -> list[str]:
    remarks = []
    if len(known["tables"]) > SHOWN:
        remarks.append(f"and {len(known['tables']) - SHOWN} more tables")
    remarks += wrap(_COUNTED, width)
    remarks += [f"schema: {one}" for one in known["schema"][:SHOWN]]
    if len(known["schema"]) > SHOWN:
        remarks.append(f"and {len(known['schema']) - SHOWN} more objects of the schema")
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
