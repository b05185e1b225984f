"""The table of backups."""

from __future__ import annotations

from typing import Any

from ops import clock


def render(title: str, known: dict[str, Any], width: int = 100) -> str:
    """The backups as lines of text, at most ``width`` columns wide, and below them what an operator must know."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (
        ("backup", "left"),
        ("age", "right"),
        ("MB", "right"),
        ("rows", "right"),
        ("state", "left"),
        ("proven", "left"),
        ("restore", "right"),
    ):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for backup in known["backups"]:
        table.add_row(
            backup["id"],
            clock.age(backup["age"]),
            "?" if backup["size"] is None else f"{backup['size'] / 1e6:.1f}",
            "?" if backup["rows"] is None else f"{backup['rows']:,}",
            backup["state"],
            backup["proven"] or "never",
            f"{backup['restore_seconds']:.1f} s" if backup["restore_seconds"] else "",
        )
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(table if known["backups"] else f"{title}: there is no backup")
    return captured.get() + "\n".join(_remarks(known))


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
