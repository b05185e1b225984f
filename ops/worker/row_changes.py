"""What changed rows mean for old code, and queries, which may change some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ops.worker.expressions import nodes, strange_calls, texts, written
from ops.worker.judgement import Judgement, additive, breaking, unknown
from ops.worker.novelty import Novelty
from ops.worker.table_changes import name

Tree = dict[str, Any]
_DOES = {"InsertStmt": "inserted into", "UpdateStmt": "changed in", "DeleteStmt": "deleted from",
         "MergeStmt": "changed in"}  # fmt: skip


def queried(node: Tree, new: Novelty) -> Iterator[Judgement]:
    """A query, or a table or view made of one."""
    if calls := strange_calls(node):
        yield unknown(f"nothing is known of the function {calls[0]}()")
    for _, call in nodes(node):
        if "funcname" in call and texts(call["funcname"])[-1] == "set_config":
            new.leave_path()
    yield from _writes(written(node), new)
    into = node.get("intoClause") or node.get("into")
    if into:
        if not node.get("if_not_exists"):
            new.add_table(into["rel"])
        yield additive(f"{name(into['rel'])} is new", settled=True)
    else:
        yield additive("it only reads")


def changed(kind: str) -> Callable[[Tree, Novelty], Iterator[Judgement]]:
    """INSERT, UPDATE, DELETE or MERGE."""

    def judged(node: Tree, new: Novelty) -> Iterator[Judgement]:
        if calls := strange_calls(node):
            yield unknown(f"nothing is known of the function {calls[0]}()")
        yield from _writes([(kind, node), *written(node)], new)

    return judged


def _writes(statements: list[tuple[str, Tree]], new: Novelty) -> Iterator[Judgement]:
    for kind, node in statements:
        table = node["relation"]
        columns = [one["ResTarget"].get("name", "") for one in node.get("targetList", [])]
        if new.leads_beyond(table):
            yield unknown(f"rows are {_DOES[kind]} {name(table)}, from where they may reach what is old")
        elif new.has_table(table):
            yield additive(f"rows are {_DOES[kind]} {name(table)}, which is new", settled=True)
        elif kind == "UpdateStmt" and all(new.column(table, column) for column in columns):
            yield additive(f"new columns of {name(table)} are filled: {', '.join(columns)}", settled=True)
        else:
            yield breaking(f"rows are {_DOES[kind]} {name(table)}, which old code reads")


def copied(node: Tree, new: Novelty) -> Iterator[Judgement]:
    """COPY."""
    if node.get("is_program") or node.get("filename"):
        yield unknown("it reads or writes a file of the server")
    elif node.get("is_from"):
        yield from _writes([("InsertStmt", node)], new)
    else:
        yield from queried(node, new)


def truncated(node: Tree, new: Novelty) -> Iterator[Judgement]:
    """TRUNCATE."""
    for relation in (part["RangeVar"] for part in node["relations"]):
        if new.has_table(relation) and node["behavior"] != "DROP_CASCADE":
            yield additive(f"{name(relation)} is new", settled=True)
        else:
            yield breaking(f"all rows are deleted from {name(relation)}, which old code reads")
