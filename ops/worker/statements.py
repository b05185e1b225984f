"""What each kind of statement means for old code. What is surely harmless is listed; all else is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ops.worker.expressions import nodes, strange_calls, texts
from ops.worker.judgement import Judgement, additive, breaking, unknown
from ops.worker.novelty import Key, Novelty
from ops.worker.row_changes import changed, copied, queried, truncated
from ops.worker.table_changes import altered, indexed, name, reference

Tree = dict[str, Any]
_HARMLESS = {
    "CheckPointStmt": "it changes nothing",
    "ClusterStmt": "it is the order of rows on the disk",
    "CommentStmt": "it is a remark",
    "ConstraintsSetStmt": "it is for this transaction alone",
    "CreateExtensionStmt": "an extension is added",
    "CreateStatsStmt": "it is for the planner alone",
    "LockStmt": "it is for this transaction alone",
    "RefreshMatViewStmt": "a view is brought up to date",
    "ReindexStmt": "an index is built anew",
    "VacuumStmt": "it changes nothing",
    "VariableShowStmt": "it changes nothing",
}
_RELATIONS = ("TABLE", "VIEW", "MATVIEW", "SEQUENCE", "INDEX", "FOREIGN_TABLE")
_OF_TABLES = ("TRIGGER", "RULE", "POLICY")
_OPAQUE = {"DoStmt": "a block of DO", "CallStmt": "a procedure that is called"}


def judge(statement: Tree, new: Novelty) -> list[Judgement]:
    """What a statement means for old code, part by part; ``new`` learns what it makes."""
    kind, node = next(iter(statement.items()))
    if kind in _HARMLESS:
        return [additive(_HARMLESS[kind])]
    if kind in _OPAQUE:
        return [unknown(f"{_OPAQUE[kind]} may do anything")]
    rule = _RULES.get(kind)
    if rule is None:
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", kind.removesuffix("Stmt")).lower()
        return [unknown(f"nothing is known of this kind of statement: {words}")]
    try:
        return list(rule(node, new))
    except (KeyError, IndexError, RecursionError):  # what a parser makes of all SQL there is was not tried
        return [unknown("it is of a form that is not known here")]


def _transaction(node: Tree, new: Novelty) -> Iterator[Judgement]:
    new.cross()
    if "ROLLBACK" in node["kind"]:
        yield unknown("it takes back what came before")


def _setting(node: Tree, new: Novelty) -> Iterator[Judgement]:
    if node.get("name") == "search_path" or node["kind"] == "VAR_RESET_ALL":
        new.leave_path()
    yield additive("it is for this session alone")


def _table_made(node: Tree, new: Novelty) -> Iterator[Judgement]:
    relation = node["relation"]
    parents = [parent["RangeVar"] for parent in node.get("inhRelations", []) if not new.has_table(parent["RangeVar"])]
    if parents and ("partbound" not in node or node.get("tableElts")):
        yield breaking(f"{name(relation)} becomes part of {name(parents[0])}, with rows or rules that old code ignores")
        return
    # What is done to a partition is done to its table.
    if not node.get("if_not_exists") and not parents:
        new.add_table(relation)
    if strange_calls(node.get("tableElts")):
        new.lead_beyond(relation)
    found = [reference(part, new) for kind, part in nodes(node.get("tableElts")) if kind == "Constraint"]
    yield next((one for one in found if one), additive(f"the table {name(relation)} is new", settled=True))


def _made(kind: str, names: str, optional: str = "if_not_exists") -> Callable[[Tree, Novelty], Iterator[Judgement]]:
    """``names``: the field that holds its name; ``optional``: the one that says that it may have been there before."""

    def judged(node: Tree, new: Novelty) -> Iterator[Judgement]:
        named = node[names]
        key = new.relation(named) if isinstance(named, dict) else new.key(kind, texts(named))
        there = new.has(key)
        if node.get("replace") and not there:
            yield breaking(f"the {kind} {key[-1]} may have been there before, and does something else now")
            return
        if not node.get(optional) or there:
            new.add(key)
        if kind == "view":
            new.lead_beyond(named)
        yield additive(f"the {kind} {key[-1]} is new", settled=True)

    return judged


def _function_made(node: Tree, new: Novelty) -> Iterator[Judgement]:
    inputs = [part["FunctionParameter"] for part in node.get("parameters", [])]
    types = [one["argType"] for one in inputs if one.get("mode") not in ("FUNC_PARAM_OUT", "FUNC_PARAM_TABLE")]
    key = _function(texts(node["funcname"]), types, new)
    if node.get("replace") and not new.has(key):
        yield breaking(f"the function {key[-1]} may have been there before, and does something else now")
    else:
        new.add(key)
        yield additive(f"the function {key[-1]} is new", settled=True)


def _function(names: list[str], types: list[Tree], new: Novelty) -> Key:
    spelled = (texts(one["names"])[-1] + "[]" * len(one.get("arrayBounds", ())) for one in types)
    return new.key("function", [*names[:-1], f"{names[-1]}({', '.join(spelled)})"])


def _schema_made(node: Tree, new: Novelty) -> Iterator[Judgement]:
    if node.get("schemaElts"):
        yield unknown(f"the schema {node.get('schemaname')} is made together with what is in it")
    else:
        yield additive(f"the schema {node.get('schemaname')} may be new")


def _key(kind: str, tree: Any, new: Novelty) -> Key:
    """Of what DROP, RENAME or OWNER names."""
    kind, names = kind.removeprefix("OBJECT_"), texts(tree)
    if kind in _RELATIONS:
        return new.key("relation", names)
    if kind in _OF_TABLES:
        return new.key("relation", names[:-1] or [""])
    if "ObjectWithArgs" in tree:
        node = tree["ObjectWithArgs"]
        return _function(texts(node["objname"]), [one["TypeName"] for one in node.get("objargs", [])], new)
    return new.key("type" if kind == "DOMAIN" else kind.lower(), names or [""])


def _dropped(node: Tree, new: Novelty) -> Iterator[Judgement]:
    kind = node["removeType"].removeprefix("OBJECT_")
    words = kind.replace("_", " ").lower()
    for tree in node["objects"]:
        key = _key(kind, tree, new)
        if new.has(key):
            if kind not in _OF_TABLES:
                new.forget(key)
            yield additive(f"the {words} was new", settled=True)
        elif kind == "INDEX":
            yield breaking(f"the index {key[-1]} is gone: if it was unique, ON CONFLICT of old code fails without it")
        else:
            called = key[-1] if "ObjectWithArgs" in tree else ".".join(texts(tree))
            yield breaking(f"the {words} {called} is gone, which old code may use")


def _renamed(node: Tree, new: Novelty) -> Iterator[Judgement]:
    relation = node.get("relation")
    # Schemas, databases and roles have no object, and are never told to be new.
    key = new.relation(relation) if relation else _key(node["renameType"], node.get("object", {}), new)
    column = new.column(relation, node["subname"]) if relation and node["renameType"] == "OBJECT_COLUMN" else None
    if relation and column:
        new.drop_column(relation, node["subname"])
        new.add_column(relation, node["newname"], column)
    elif new.has(key) and "subname" not in node:
        new.rename(key, node["newname"])
    elif not new.has(key):
        old = node.get("subname") or key[-1]
        yield breaking(f"{old} is now called {node['newname']}, and old code knows it by its old name")
        return
    yield additive("what is renamed is new", settled=True)


def _on_table(
    words: str, field: str = "relation", beyond: bool = False
) -> Callable[[Tree, Novelty], Iterator[Judgement]]:
    """Something that changes what a table, view or sequence does; ``beyond``: also to others."""

    def judged(node: Tree, new: Novelty) -> Iterator[Judgement]:
        if beyond:
            new.lead_beyond(node[field])
        if new.has_table(node[field]):
            yield additive(f"{name(node[field])} is new", settled=True)
        else:
            yield breaking(f"{words} {name(node[field])}, which old code does not know of")

    return judged


def _of_object(words: str, kind: str, field: str) -> Callable[[Tree, Novelty], Iterator[Judgement]]:
    """Something done to what is no table."""

    def judged(node: Tree, new: Novelty) -> Iterator[Judgement]:
        tree = node.get("relation") or node[field]
        found = new.relation(tree) if "relname" in tree else _key(node.get(kind, kind), tree, new)
        if new.has(found):
            yield additive("what is changed is new", settled=True)
        else:
            yield breaking(f"{found[-1]} {words}")

    return judged


def _granted(node: Tree, new: Novelty) -> Iterator[Judgement]:
    objects = [part.get("RangeVar") for part in node.get("objects", [])]
    if node.get("is_grant") or node.get("action", {}).get("is_grant"):
        yield additive("rights are given")
    elif objects and all(one and new.has_table(one) for one in objects):
        yield additive("rights to what is new are taken", settled=True)
    else:
        yield breaking("rights are taken, which old code may need")


_RULES: dict[str, Callable[[Tree, Novelty], Iterator[Judgement]]] = {
    "AlterDefaultPrivilegesStmt": _granted,
    "AlterEnumStmt": _of_object("has values that old code does not know when it reads them", "TYPE", "typeName"),
    "AlterObjectSchemaStmt": _of_object(
        "lies in another schema, where old code may not find it", "objectType", "object"
    ),
    "AlterOwnerStmt": _of_object("belongs to another role, and old code may lose its rights", "objectType", "object"),
    "AlterPolicyStmt": _on_table("another policy hides rows of", "table"),
    "AlterSeqStmt": _on_table("other numbers come from", "sequence"),
    "AlterTableStmt": altered,
    "CompositeTypeStmt": _made("type", "typevar"),
    "CopyStmt": copied,
    "CreateDomainStmt": _made("type", "domainname"),
    "CreateEnumStmt": _made("type", "typeName"),
    "CreateFunctionStmt": _function_made,
    "CreatePolicyStmt": _on_table("a policy hides rows of", "table"),
    "CreateRangeStmt": _made("type", "typeName"),
    "CreateSchemaStmt": _schema_made,
    "CreateSeqStmt": _made("sequence", "sequence"),
    "CreateStmt": _table_made,
    "CreateTableAsStmt": queried,
    "CreateTrigStmt": _on_table("a trigger changes what happens in", beyond=True),
    "DeleteStmt": changed("DeleteStmt"),
    "DropStmt": _dropped,
    "GrantRoleStmt": _granted,
    "GrantStmt": _granted,
    "IndexStmt": indexed,
    "InsertStmt": changed("InsertStmt"),
    "MergeStmt": changed("MergeStmt"),
    "RenameStmt": _renamed,
    "RuleStmt": _on_table("a rule changes what happens in", beyond=True),
    "SelectStmt": queried,
    "TransactionStmt": _transaction,
    "TruncateStmt": truncated,
    "UpdateStmt": changed("UpdateStmt"),
    "VariableSetStmt": _setting,
    "ViewStmt": _made("view", "view"),
}
