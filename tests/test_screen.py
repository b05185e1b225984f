"""What stands on a screen is no wider than it, whatever the names in it look like."""

from __future__ import annotations

from rich.cells import cell_len

from ops.operations.screen import Screen


def test_a_line_of_wide_characters_is_cut_by_the_columns_that_they_take():
    screen = Screen({}, 100)
    for text in ("顧客" * 60, "a" + "顧客" * 60, "name " * 60, "short 顧客"):
        screen.cut(text, 2)
    assert [cell_len(line) <= 100 for line in screen.lines] == [True] * 4
    assert all(line.endswith("…") for line in screen.lines[:3])
    assert screen.lines[3] == "  short 顧客"
