"""The table of backups."""

from __future__ import annotations

from typing import Any

from ops import clock
from ops.operations import table

_LEFT, _RIGHT = {"no_wrap": True}, {"no_wrap": True, "justify": "right"}
_COLUMNS: dict[str, dict[str, Any]] = {
    "backup": _LEFT, "age": _RIGHT, "MB": _RIGHT, "rows": _RIGHT, "state": _LEFT, "proven": _LEFT, "restore": _RIGHT,
}  # fmt: skip


def render(title: str, known: dict[str, Any], width: int = table.WIDTH) -> str:
    """The backups as lines of text, at most ``width`` columns wide, and below them what an operator must know."""
    rows = [
        [
            backup["id"],
            clock.age(backup["age"]),
            "?" if backup["size"] is None else f"{backup['size'] / 1e6:.1f}",
            "?" if backup["rows"] is None else f"{backup['rows']:,}",
            backup["state"],
            backup["proven"] or "never",
            f"{backup['restore_seconds']:.1f} s" if backup["restore_seconds"] else "",
        ]
        for backup in known["backups"]
    ]
    return table.rendered(title, _COLUMNS, rows, width, "there is no backup") + "\n".join(_remarks(known))


def _remarks(known: dict[str, Any]) -> list[str]:
    remarks = [
        f"{backup['id']} ({backup['state']}): {'; '.join(backup['problems'])}"
        for backup in known["backups"]
        if backup["problems"]
    ]
    remarks += [
        f"{backup['id']} is from the future: look at the runner's clock"
        for backup in known["backups"]
        if backup["age"] < -clock.SKEW
    ]
    if known["unfinished"]:
        size = sum(known["unfinished"].values()) / 1e6
        remarks.append(
            f"unfinished: {', '.join(known['unfinished'])} ({size:.1f} MB), which the next backup sweeps away"
        )
    for lock in (known["backup_lock"], known["drill_lock"]):
        if lock:
            remarks.append(f"running: {lock['reason']} by {lock['owner']} since {lock['started']}")
    return remarks
