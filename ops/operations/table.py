"""Every table that an operator sees: plain lines of text, the same in a terminal and in a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


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
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, options in columns.items():
        table.add_column(heading, **options)
    for row in rows:
        table.add_row(*row)
    # What stands in brackets is a name, and no markup.
    console = Console(width=width, no_color=True, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table if table.row_count or not empty else f"{title}: {empty}")
    return captured.get()
