"""Every table that an operator sees: plain lines of text, the same in a terminal and in a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


WIDTH = 95
"""Of every table: a terminal has 100 columns, of which pyinfra indents 4."""


def rendered(
    title: str, columns: Mapping[str, Mapping[str, Any]], rows: Iterable[Sequence[str]], width: int, empty: str = ""
) -> str:
    """A table as lines of text.

    Args:
        title: above it.
        columns: by heading, in order, what rich's ``Table.add_column`` takes besides.
        rows: a text for each column.
        width: columns of text that it has at most.
        empty: what stands in place of the rows, behind the title, when there are none; none: an empty table.
    """
    from rich import box
    from rich.table import Table

    table = _filled(Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False), columns, rows)
    return _drawn(table, width) if table.row_count or not empty else f"{title}: {empty}\n"


def tight(columns: Mapping[str, Mapping[str, Any]], rows: Iterable[Sequence[str]], width: int) -> str:
    """The same without a title, rules and empty lines, for where many tables are to fit on one screen.

    A row is one line: of the columns without ``no_wrap`` the widest are cut where it is too long.
    """
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(cell, no_wrap=True, overflow="ellipsis") for cell in row] for row in rows]
    return _drawn(_filled(Table(box=None, pad_edge=False, padding=(0, 2, 0, 0)), columns, cells), width)


def _filled(table: Table, columns: Mapping[str, Mapping[str, Any]], rows: Iterable[Sequence[str | Text]]) -> Table:
    for heading, options in columns.items():
        table.add_column(heading, **options)
    for row in rows:
        table.add_row(*row)
    return table


def _drawn(what: Table, width: int) -> str:
    from rich.console import Console

    # What stands in brackets is a name, and no markup.
    console = Console(width=width, no_color=True, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()
