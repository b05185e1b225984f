"""Whether a rule fits a column, and the columns that it is bound to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ops.masking import (
    AnyRule,
    AnyTable,
    Constant,
    Empty,
    Expression,
    Fake,
    Hash,
    Json,
    Keep,
    Masked,
    Noise,
    Null,
    Shift,
)
from ops.worker.masking.masks import HASHED, NOISY, SHIFTED, constant, longest
from ops.worker.masking.survey import TEXTS, Column, Reference, Survey, Table, Type
from ops.worker.rows import Name


def misfit(rule: AnyRule, column: Column, table: Table, distinct: bool) -> str | None:
    """Why a rule cannot be that of a column; None when it can.

    Args:
        rule: which.
        column: which.
        table: whose.
        distinct: whether different values must stay different.
    """
    type = column.type
    if column.computed:
        return "PostgreSQL computes it from other columns: leave the line out"
    if isinstance(rule, Null):
        return "it must not be NULL" if column.required else None
    if isinstance(rule, Keep | Expression):
        return None
    if isinstance(rule, Constant):
        if isinstance(rule.value, dict | list) and type.name not in ("json", "jsonb") and not type.array:
            return f"a list or a table is no {type.shown}"
        if type.length is not None and not type.array and len(constant(rule, type)) > type.length:
            return f"the constant is longer than {type.shown}"
        return None
    if isinstance(rule, Shift) and rule.by is not None and rule.by not in (one.name for one in table.columns):
        return f"there is no column {rule.by} to shift it by"
    fits = {Fake: TEXTS, Hash: HASHED, Shift: SHIFTED, Noise: NOISY}
    known = (
        type.name in ("json", "jsonb") and not type.array
        if isinstance(rule, Json)
        else type.name in fits[rule.__class__]
    )
    if not known:
        return f"{shown(rule)} does not fit {type.shown}"
    if type.name in TEXTS and type.length is not None and type.length < longest(rule, distinct):
        unique = ", which must stay unique" if distinct and longest(rule, distinct) != longest(rule, False) else ""
        return f"{shown(rule)} needs {longest(rule, distinct)} characters, and {type.shown}{unique} has fewer"
    if isinstance(rule, Hash) and type.name in ("inet", "cidr") and distinct:
        return f"a hash would not stay unique in {type.shown}: there are too few private addresses"
    if isinstance(rule, Hash) and type.name == "numeric" and distinct and (type.precision or 15) < 15:
        return f"a hash would not stay unique in {type.shown}"
    return None


def shown(rule: AnyRule) -> str:
    """A rule in a few words."""
    return f"fake {rule.of}" if isinstance(rule, Fake) else str(rule.kind)


def torn(survey: Survey, rules: Mapping[Name, AnyTable]) -> Iterator[str]:
    """Which unique indexes and foreign keys the rules would break."""
    for table, columns in survey.unique:
        masked = rules.get(table)
        if isinstance(masked, Masked) and not _stays_unique(columns, masked, survey, table):
            weak = sorted(column for column in columns if _merges(masked.columns.get(column), columns))
            names = ", ".join(f"{column} ({shown(masked.columns[column])})" for column in weak)
            yield f"{table}: {', '.join(sorted(columns))} must be unique, and would not be: {names}"
    for reference in survey.references:
        yield from _torn(reference, rules, survey)


def _merges(rule: AnyRule | None, beside: frozenset[str]) -> bool:
    """Whether a rule may make one value of two."""
    if isinstance(rule, Shift):
        return rule.by is None or rule.by not in beside
    if isinstance(rule, Fake):
        return rule.of in ("first_name", "last_name", "address")
    return isinstance(rule, Constant | Noise | Json)


def _stays_unique(columns: frozenset[str], masked: Masked, survey: Survey, table: Name) -> bool:
    """It does when no rule makes one value of two, or when another index over some of its columns does."""
    return any(
        one == table and some <= columns and not any(_merges(masked.columns.get(column), some) for column in some)
        for one, some in survey.unique
    )


def _made_of(rule: Hash | Fake, type: Type) -> tuple[str, int]:
    """What a hash or a fake follows from, beside the value: the kind of type, and the characters there is room for."""
    kind = "text" if type.name in TEXTS and type.name != "citext" else type.name
    return kind, min(type.length or 32, 32) if isinstance(rule, Hash) else 0


def _torn(reference: Reference, rules: Mapping[Name, AnyTable], survey: Survey) -> Iterator[str]:
    near, far = rules.get(reference.table), rules.get(reference.other)
    if not isinstance(near, Masked):
        return
    pairs = [
        (column, near.columns.get(column), other)
        for column, other in zip(reference.columns, reference.others, strict=True)
    ]
    if any(isinstance(rule, Null) for _, rule, _ in pairs):
        return
    if isinstance(far, Empty):
        names = ", ".join(reference.columns)
        yield f'{reference.table}: {names} refers to {reference.other}, which is to be empty: make it "null"'
        return
    if not isinstance(far, Masked):
        return
    for column, rule, other in pairs:
        there = far.columns.get(other)
        if rule is None or there is None or isinstance(rule, Expression) or isinstance(there, Expression):
            continue
        if rule != there or (isinstance(rule, Shift) and rule.by is not None):
            yield (
                f"{reference.table}.{column} ({shown(rule)}) refers to {reference.other}.{other}"
                f" ({shown(there)}): both need the same rule"
            )
        elif isinstance(rule, Hash | Fake):
            types = [survey.type_of(*place) for place in ((reference.table, column), (reference.other, other))]
            if len({_made_of(rule, type) for type in types}) > 1:
                yield (
                    f"{reference.table}.{column} ({types[0].shown}) refers to {reference.other}.{other}"
                    f" ({types[1].shown}), of which {shown(rule)} makes another: keep both, or write an expression"
                )
