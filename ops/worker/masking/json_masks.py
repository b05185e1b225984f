"""The SQL that masks JSON path by path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from psycopg import sql

from ops.masking import AnyRule, Json, Keep, LeafRule, steps

Leaf = Callable[[AnyRule, str], str]


@dataclass
class _Node:
    """A place in JSON that paths lead to or through."""

    keeps_rest: bool
    rule: LeafRule | None = None
    keys: dict[str, _Node] = field(default_factory=dict)
    each: _Node | None = None

    def below(self, step: str | None) -> _Node:
        if step is not None:
            return self.keys.setdefault(step, _Node(self.keeps_rest))
        self.each = self.each or _Node(self.keeps_rest)
        return self.each


def masked(rule: Json, value: str, leaf: Leaf) -> str:
    """What is asked for in place of a column.

    Args:
        rule: its paths.
        value: a jsonb, as SQL.
        leaf: the SQL of a rule for a text or a number.
    """
    root = _Node(rule.rest == "keep")
    # What is kept as a whole is known before what lies below it.
    for path in sorted(rule.paths, key=lambda one: len(steps(one))):
        node = root
        for step in steps(path):
            node = node.below(step)
        node.rule = rule.paths[path]
        if isinstance(node.rule, Keep):
            node.keeps_rest = True
    return f"CASE WHEN {value} IS NOT NULL THEN {_made(root, value, leaf)} END"


def _made(node: _Node, value: str, leaf: Leaf) -> str:
    if node.rule is not None and not (isinstance(node.rule, Keep) and (node.keys or node.each)):
        return leaf(node.rule, value)
    cases = ""
    if node.keys:
        cases += f" WHEN 'object' THEN {_object(node, value, leaf)}"
    elif node.each is None:
        # Nothing is said of what lies here.
        cases += f" WHEN 'object' THEN {value if node.keeps_rest else _EMPTY} WHEN 'array' THEN '[]'::jsonb"
        return value if node.keeps_rest else f"CASE jsonb_typeof({value}){cases} ELSE 'null' END"
    if node.each is not None:
        each = f"jsonb_agg({_made(node.each, 'e', leaf)} ORDER BY o)"
        elements = f"jsonb_array_elements({value}) WITH ORDINALITY AS a(e, o)"
        cases += f" WHEN 'array' THEN (SELECT coalesce({each}, '[]') FROM {elements})"
    return f"CASE jsonb_typeof({value}){cases} ELSE 'null' END"


_EMPTY = "'{}'::jsonb"


def _object(node: _Node, value: str, leaf: Leaf) -> str:
    made = value if node.keeps_rest else _EMPTY
    for key, below in node.keys.items():
        name = sql.Literal(key).as_string(None)
        new = _made(below, f"({value} -> {name})", leaf)
        if node.keeps_rest:
            # It sets nothing where the key is not there.
            made = f"jsonb_set({made}, ARRAY[{name}], coalesce({new}, 'null'), false)"
        else:
            made += f" || CASE WHEN {value} ? {name} THEN jsonb_build_object({name}, {new}) ELSE '{{}}' END"
    return made if node.keeps_rest else f"({made})"
