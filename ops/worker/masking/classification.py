"""Whether the masking says what becomes of every table and column; what it does not say stops the refresh."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ops.errors import Unclassified, printable
from ops.masking import AnyTable, Expression, Keep, Masked, Masking, Own, Remote
from ops.worker.masking.fitting import misfit, torn
from ops.worker.masking.likely import likely
from ops.worker.masking.survey import Column, Survey, Table
from ops.worker.rows import Name

_SPELLED = re.compile(r'("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^".]+)')


@dataclass
class _Findings:
    """What is wrong, as lines for people."""

    unclassified: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    columns: int = 0


def classify(survey: Survey, masking: Masking) -> dict[Name, AnyTable]:
    """By table, its rule; partitions have that of the table they are part of, and are not named.

    Args:
        survey: of a database with the whole schema, unique indexes and foreign keys included.
        masking: what the environment says.

    Raises:
        Unclassified: something is not classified, or a line is stale, or a rule does not fit; all of it is in
            ``report``: ``unclassified`` (lines ready to be pasted), ``stale`` and ``unfit``.
    """
    found = _Findings()
    rules, stale = named(survey, masking)
    found.stale += stale
    for name, table in survey.tables.items():
        if table.root is None:
            _table(table, rules.get(name), survey, found)
    if survey.large_objects and masking.large_objects is None:
        found.unfit.append(
            f"there are {survey.large_objects} large objects, which cannot be masked:"
            ' write Masking(large_objects="left out", …)'
        )
    found.stale += _common(masking, survey, rules)
    found.unfit += torn(survey, rules)
    _refuse(found)
    return rules


def named(survey: Survey, masking: Masking) -> tuple[dict[Name, AnyTable], list[str]]:
    """The rules by table; and, in words, those of what is no table, or a partition.

    Args:
        survey: of a database.
        masking: what the environment says.
    """
    spelled = {spelling: name for name in survey.tables for spelling in (quoted(name), str(name))}
    rules: dict[Name, AnyTable] = {}
    stale = []
    for written, rule in masking.tables.items():
        name = spelled.get(written) or _parsed(written)
        if name is None or name not in survey.tables:
            stale.append(f"{literal(written)}: there is no such table")
        elif root := survey.tables[name].root:
            stale.append(f"{literal(written)}: it is a partition of {root}, and masked as that is")
        elif name in rules:
            stale.append(f"{literal(written)}: it is there twice")
        else:
            rules[name] = rule
    return rules, stale


def quoted(name: Name) -> str:
    """A table as SQL spells it, with quotes only around what needs them."""
    parts = (name.schema, name.table)
    plain = (part.replace("_", "a").isalnum() and part.islower() and part.isascii() for part in parts)
    return ".".join(
        part if fine else '"' + part.replace('"', '""') + '"' for part, fine in zip(parts, plain, strict=True)
    )


def _parsed(written: str) -> Name | None:
    """A table as SQL may spell it, with quotes around what needs none."""
    found = _SPELLED.fullmatch(written)
    if found is None:
        return None
    schema, table = (part[1:-1].replace('""', '"') if part.startswith('"') else part for part in found.groups())
    return Name(schema, table)


def literal(name: str) -> str:
    """A name as a line of the inventory spells it."""
    return f'"{name}"' if name.isprintable() and not set(name) & {'"', "\\"} else repr(name)


def _table(table: Table, rule: AnyTable | None, survey: Survey, found: _Findings) -> None:
    if table.kind == "f" and not isinstance(rule, Remote | None):
        found.unfit.append(f'{table.name} is a foreign table, whose rows are elsewhere: write "remote", or drop it')
    elif table.kind == "f" and rule is None:
        found.unclassified.append(f'{literal(quoted(table.name))}: "remote",  # a foreign table')
        found.columns += 1
    elif isinstance(rule, Remote) and table.kind != "f":
        found.unfit.append(f"{table.name} is no foreign table, which remote is for")
    elif isinstance(rule, Own) and table.extension:
        found.unfit.append(f'{table.name} belongs to the extension {table.extension}: write its columns, or "empty"')
    elif rule is None:
        of = f"  # of the extension {table.extension}" if table.extension else ""
        found.unclassified.append(f"{literal(quoted(table.name))}: {{{of}")
        new = [one for one in table.columns if not one.computed]
        found.unclassified += [f"    {_ready(one, table, survey)}" for one in new]
        found.unclassified.append("},")
        found.columns += len(new)
    elif isinstance(rule, Masked):
        _columns(table, rule, survey, found)


def _columns(table: Table, masked: Masked, survey: Survey, found: _Findings) -> None:
    new, known = False, {column.name: column for column in table.columns}
    for name in masked.columns:
        if name not in known:
            found.stale.append(f"{literal(name)}: {table.name} has no such column")
    for name, column in known.items():
        rule = masked.columns.get(name)
        if rule is not None:
            why = misfit(rule, column, table, (table.name, name) in survey.distinct)
            if why:
                found.unfit.append(f"{table.name}.{name}: {why}")
        elif not column.computed:
            if not new:
                found.unclassified.append(into(table.name))
            new = True
            found.unclassified.append(f"    {_ready(column, table, survey)}")
            found.columns += 1


def _ready(column: Column, table: Table, survey: Survey) -> str:
    """A line to be pasted."""
    of, there = origin(column, table.name, survey)
    rule = likely(there, is_key(there, of, survey)).rule
    return f"{literal(column.name)}: {rule},  # {printable(f'{table.name}: {column.type.shown}')}"


def origin(column: Column, table: Name, survey: Survey) -> tuple[Name, Column]:
    """The column that one refers to, which both have one rule; itself, when it refers to none."""
    of, name = survey.referred(table, column.name)
    return of, next((one for one in survey.tables[of].columns if one.name == name), column)


def into(table: Name) -> str:
    """What is printed above the lines for a table of which others are there already."""
    return f"# into {literal(quoted(table))}:"


def is_key(column: Column, table: Name, survey: Survey) -> bool:
    """Whether rows are told apart or joined by it."""
    return (
        column.identity
        or (table, column.name) in survey.distinct
        or any(one.table == table and column.name in one.columns for one in survey.references)
    )


def _common(masking: Masking, survey: Survey, rules: Mapping[Name, AnyTable]) -> Iterator[str]:
    """Columns that are said to be common, and are not there or not kept."""
    kept = {
        f"{spelling}.{column}"
        for name, rule in rules.items()
        if isinstance(rule, Masked)
        for column, its in rule.columns.items()
        if isinstance(its, Keep | Expression) and column in {one.name for one in survey.tables[name].columns}
        for spelling in (quoted(name), str(name))
    }
    for written in masking.common:
        if written not in kept:
            yield f"common: {literal(written)}: there is no such column that is kept"


def _refuse(found: _Findings) -> None:
    counts = [
        (found.columns, "is not classified", "are not classified"),
        (len(found.stale), "line is about what is not there", "lines are about what is not there"),
        (len(found.unfit), "rule does not fit", "rules do not fit"),
    ]
    said = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    if not said:
        return
    first = next(iter(found.stale + found.unfit), None)
    error = Unclassified(
        f"the masking does not say what becomes of all of production's data: {', '.join(said)}",
        f"Correct masking=Masking(…) in the inventory; the first: {first}"
        if first
        else "Write a rule for each into masking=Masking(tables={…}); deploys/classify.py proposes one by the values",
    )
    error.report = {"unclassified": found.unclassified, "stale": found.stale, "unfit": found.unfit}
    raise error
