"""What a rehearsal found, for a terminal and for a pull request."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

from ops.operations import table as tables

Cells = list[str]
_WITHOUT_ROWS = (
    "WITHOUT ROWS: what breaks because of them, how long it takes and how long tables stay locked is not known"
)


def lint_table(answer: dict[str, Any], width: int = tables.WIDTH) -> str:
    """Squawk's findings."""
    rows = [[_place(one), one["rule"], _advice(one)] for one in answer.get("lint", [])]
    unknown = [f"{id}: its SQL is not known without a database, so it was not linted" for id in answer["not_linted"]]
    return _rendered("what squawk finds", ["where", "rule", "what, and what to do"], rows, width, unknown)


def undo_table(answer: dict[str, Any], width: int = tables.WIDTH) -> str:
    """Migrations that would be undone, and what each meant for code from before it."""
    headings = ["migration", "way back", "old code", "because"]
    return _rendered("migrations that were applied since, newest first", headings, _undo(answer), width, [])


def table(answer: dict[str, Any], width: int = tables.WIDTH) -> str:
    """The rehearsal, as an operator reads it."""
    found = answer.get("rehearsal")
    if not found:
        return ""
    every = f"{found['lock_interval'] * 1000:g} ms"
    statements = ["migration", "statement", "seconds", "rows"]
    locks = ["table", "strongest lock", "seconds", "migration"]
    seconds = ", ".join(f"{step} {took:g}" for step, took in _seconds(answer))
    parts = [
        _rendered(f"rehearsed on {found['copy']}", statements, _statements(found, 60), width, []),
        _rendered(f"locks on tables (looked for every {every}: shorter ones may be missed)",
                  locks, _locks(found), width, _remarks(found)),
        "\n".join(wrap(f"seconds: {seconds}", width)),
    ]  # fmt: skip
    if answer.get("restore_branch"):
        parts.append(f"restore point: the backup {answer['restore_point']}, the branch {answer['restore_branch']}")
    return "\n".join(parts)


def markdown(environment: str, answer: dict[str, Any]) -> str:
    """The whole report, as a reviewer reads it."""
    what = "To be undone" if "undo" in answer else "Pending"
    names = ", ".join(f"`{one['name']}`" for one in answer.get("undo") or answer["pending"])
    lines = [f"# Migrations of {environment}", "", f"{what}: {names}. Applied before: `{answer['current']}`.", ""]
    if answer.get("refused"):
        lines += [f"**Refused:** {_cell(answer['refused'])}", ""]
    if answer.get("applied"):
        lines += [f"Applied and proved: {', '.join(f'`{one}`' for one in answer['applied'])}.", ""]
    if answer.get("undone"):
        lines += [f"Undone and proved: {', '.join(f'`{one}`' for one in answer['undone'])}.", ""]
    if answer.get("restore_point"):
        lines += [f"Restore point: backup `{answer['restore_point']}`.", ""]
    if answer.get("restore_branch"):
        lines += [f"Restore point on Neon: branch `{answer['restore_branch']}`.", ""]
    if "undo" in answer:
        lines += _section("For code from before", ["migration", "way back", "old code", "because"], _undo(answer))
    else:
        lint = [[f"`{_place(one)}`", f"`{one['rule']}`", _advice(one)] for one in answer.get("lint", [])]
        lines += _section("Lint", ["where", "rule", "what, and what to do"], lint)
    found = answer.get("rehearsal")
    if found:
        lines += ["## Rehearsal", "", f"On {found['copy']}.", ""]
        lines += _section("Statements", ["migration", "statement", "seconds", "rows"],
                          [[one, f"`{text}`", *rest] for one, text, *rest in _statements(found, 300)])  # fmt: skip
        lines += _section("Locks", ["table", "strongest lock", "seconds", "migration"], _locks(found))
        lines += [f"- {remark}" for remark in _remarks(found)]
    lines += ["", "Seconds: " + ", ".join(f"{step} {took:g}" for step, took in _seconds(answer)) + "."]
    return "\n".join(lines) + "\n"


def _undo(answer: dict[str, Any]) -> list[Cells]:
    return [[one["name"], "yes" if one["has_down"] else "none", one["impact"], "; ".join(one["reasons"])]
            for one in answer["undo"]]  # fmt: skip


def _place(finding: dict[str, Any]) -> str:
    return f"{finding['file'].rpartition('/')[2]}:{finding['line']}"


def _advice(finding: dict[str, Any]) -> str:
    return f"{'FAILS: ' if finding['fails'] else ''}{finding['message']} {finding['help']}".strip()


def _statements(found: dict[str, Any], most: int) -> list[Cells]:
    rows = []
    for one in found["statements"]:
        text = " ".join(one["text"].split())
        rows.append([one["migration"], text if len(text) <= most else f"{text[:most]}…", f"{one['seconds']:.3f}",
                     "" if one["rows"] is None else str(one["rows"])])  # fmt: skip
    return rows


def _locks(found: dict[str, Any]) -> list[Cells]:
    return [[one["table"], one["mode"], f"{one['seconds']:.3f}", one["migration"]] for one in found["locks"]]


def _remarks(found: dict[str, Any]) -> list[str]:
    remarks = [] if found["has_rows"] else [_WITHOUT_ROWS]
    if found["way"] == "down" and not found["has_rows"]:
        remarks.append("what is lost is not known either")
    remarks += [_lost(one) for one in found["lost"]]
    remarks += [f"{table} is written anew" for table in found["rewritten"]]
    remarks += [
        f"{table}: {before} rows before, {'gone' if after is None else f'{after} after'}"
        for table, (before, after) in found["rows"].items()
    ]
    remarks += [f"schema: {change}" for change in found["schema"]]
    if found["more_statements"]:
        remarks.insert(0, f"and {found['more_statements']} more statements, each quicker than these")
    if found["reversed"]:
        there = "undone and applied again" if found["way"] == "up" else "undone, applied again, and undone"
        remarks.append(f"{there}, with the same schema: {', '.join(found['reversed'])}")
    elif found["way"] == "down":
        remarks.append("not applied again on the copy: its tool would apply what else is pending, or it failed before")
    if found["one_way"]:
        remarks.append(f"no way back, so none was tried: {', '.join(found['one_way'])}")
    return remarks + [f"AGAINST IT: {finding}" for finding in found["findings"]]


def _lost(one: dict[str, Any]) -> str:
    kind = "rows" if "rows" in one else "values"
    return (
        f"{one['what']}: {one[kind]:,} {kind if one[kind] > 1 else kind[:-1]} {'are' if one[kind] > 1 else 'is'} lost"
    )


def _seconds(answer: dict[str, Any]) -> Iterable[tuple[str, float]]:
    steps = dict(answer["seconds"])
    within = (answer.get("rehearsal") or {}).get("seconds", {})
    return [*steps.items(), *((f"rehearsal/{step}", took) for step, took in within.items())]


def _rendered(title: str, headings: Cells, rows: list[Cells], width: int, remarks: list[str]) -> str:
    columns = {
        heading: {"overflow": "fold", "justify": "right" if heading in ("seconds", "rows") else "left"}
        for heading in headings
    }
    return tables.rendered(title, columns, rows, width, "nothing") + "\n".join(remarks)


def _section(title: str, headings: Cells, rows: list[Cells]) -> list[str]:
    if not rows:
        return [f"{title}: nothing.", ""]
    lines = [f"### {title}", "", f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
