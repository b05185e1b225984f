"""A screen of lines of text that is filled part by part, each of which may be unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from shlex import quote
from textwrap import wrap
from typing import Any

from ops import clock
from ops.errors import printable
from ops.operations import table

CUT: dict[str, Any] = {}
"""A column that is cut where the row is too long."""
NUMBER: dict[str, Any] = {"justify": "right", "no_wrap": True}


class Screen:
    """What has been drawn so far.

    Args:
        taken: the picture, by part, as ``ops.triage.picture`` answers it.
        width: columns.
    """

    def __init__(self, taken: dict[str, Any], width: int) -> None:
        self.lines: list[str] = []
        self.taken = taken
        self.width = width

    def say(self, line: str, indent: int = 0) -> None:
        """A line, or several when it is too long; each begins with so many blanks."""
        first, rest = " " * indent, " " * (indent + 2)
        self.lines += wrap(
            printable(line),
            self.width,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def cut(self, line: str, indent: int) -> None:
        """One line, of which the end is left out when it is too long."""
        from rich.cells import cell_len, set_cell_size

        line = f"{' ' * indent}{printable(line)}"
        fits = cell_len(line) <= self.width  # many a character takes two columns
        self.lines.append(line if fits else f"{set_cell_size(line, self.width - 1)}…")

    def rows(self, columns: dict[str, dict[str, Any]], rows: Sequence[Sequence[str]], most: int, all_: int = 0) -> None:
        """The first rows of a table.

        Args:
            columns: see ``table.rendered``.
            rows: all that are known.
            most: that are shown.
            all_: how many there are, when that is more than are known.
        """
        if not rows:
            return
        shown = [[printable(cell) for cell in row] for row in rows[:most]]
        drawn = table.tight(columns, shown, self.width - 2)
        self.lines += [f"  {line.rstrip()}" for line in drawn.splitlines()]
        if (left := max(all_, len(rows)) - most) > 0:
            self.say(f"and {left} more", 2)

    def part(self, name: str, title: str, draw: Callable[[Screen, Any], None]) -> None:
        """One part, or why it is unknown; nothing when it was not looked at."""
        part = self.taken.get(name)
        if part is None:
            return
        if part["unknown"]:
            self.say(f"{title}: unknown: {part['unknown']}. {part['hint']}")
        else:
            draw(self, part["found"])

    def treat(self, what: str, loses: bool = False) -> str:
        """The command for a treatment."""
        name = self.taken["environment"]
        confirm = f" --data confirm={name}" if loses and self.taken["protected"] else ""
        return f"pyinfra {name} deploys/treat.py --data {quote(what)}{confirm}"


def age(seconds: float | None) -> str:
    """A time that has gone by; empty when nobody knows."""
    return "" if seconds is None else clock.age(max(0.0, seconds))


def more(others: Sequence[object]) -> str:
    """What stands behind the first few of many."""
    return f" and {len(others)} more" if others else ""
