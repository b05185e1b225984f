"""What ``ALTER TABLE`` and its like mean for old code: columns, constraints, unique indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ops.worker.expressions import is_null, strange_calls, texts, total
from ops.worker.judgement import Judgement, additive, breaking, unknown
from ops.worker.novelty import Column, Novelty

Tree = dict[str, Any]
_SERIAL = ("smallserial", "serial", "bigserial", "serial2", "serial4", "serial8")
_HARMLESS = {
    "AT_DropNotNull": "rows that new code writes may have no value there",
    "AT_ValidateConstraint": "it has held for what is written since it was added",
    "AT_SetStatistics": "it is for the planner alone",
    "AT_SetOptions": "it is for the planner alone",
    "AT_ResetOptions": "it is for the planner alone",
    "AT_SetStorage": "it is how values are stored",
    "AT_SetCompression": "it is how values are stored",
    "AT_ClusterOn": "it is the order of rows on the disk",
    "AT_DropCluster": "it is the order of rows on the disk",
    "AT_SetTableSpace": "it is where the table is stored",
}
_STORAGE = ("AT_SetRelOptions", "AT_ResetRelOptions")
_BREAKS = {
    "AT_SetNotNull": "{} must have a value from now on, and old code may give it none",
    "AT_ColumnDefault": "{} has another default, on which old code may rely",
    "AT_AlterColumnType": "{} has another type, which old code does not know",
    "AT_DropColumn": "{} is gone, which old code may read or write",
    "AT_DropConstraint": "a constraint of {} is gone, which ON CONFLICT of old code may name, or ON DELETE rest on",
    "AT_EnableRowSecurity": "{} hides rows from old code",
    "AT_ForceRowSecurity": "{} hides rows from old code",
    "AT_DisableRowSecurity": "{} hides no rows any more",
    "AT_AttachPartition": "rows that old code does not expect may be in {}",
    "AT_DetachPartition": "rows that old code expects are no longer in {}",
    "AT_AddInherit": "rows that old code does not expect may be in {}",
    "AT_DropInherit": "rows that old code expects are no longer in {}",
    "AT_ChangeOwner": "{} belongs to another role, and old code may lose its rights",
}


def name(relation: Tree) -> str:
    """A table as it was written."""
    return ".".join(relation[part] for part in ("schemaname", "relname") if part in relation)


def altered(node: Tree, new: Novelty) -> Iterator[Judgement]:
    """``ALTER TABLE``, command by command."""
    relation = node["relation"]
    for part in node["cmds"]:
        command = part["AlterTableCmd"]
        kind, definition = command["subtype"], command.get("def", {})
        if new.has_table(relation):
            yield _of_new_table(kind, definition, relation, new)
        elif kind == "AT_AddColumn" and node["objtype"] in ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"):
            yield _column_added(definition["ColumnDef"], relation, new, bool(command.get("missing_ok")))
        elif kind == "AT_AddConstraint":
            yield _constraint_added(definition["Constraint"], relation, new)
        elif column := new.column(relation, command.get("name", "")):
            yield _new_column_changed(kind, definition, f"{name(relation)}.{command['name']}", column)
            if kind == "AT_DropColumn":
                new.drop_column(relation, command["name"])
        else:
            yield _of_old_table(kind, node["objtype"], relation, command)


def _of_old_table(kind: str, object: str, relation: Tree, command: Tree) -> Judgement:
    of_column = kind in ("AT_SetNotNull", "AT_DropNotNull") or "Column" in kind
    what = f"{name(relation)}.{command['name']}" if of_column and "name" in command else name(relation)
    if kind in _HARMLESS:
        return additive(f"{what}: {_HARMLESS[kind]}")
    if kind in _STORAGE and object in ("OBJECT_TABLE", "OBJECT_INDEX", "OBJECT_MATVIEW"):
        return additive(f"{what}: it is how the table is stored")
    return breaking(_BREAKS.get(kind, "{} is changed in a way that old code may not bear").format(what))


def _of_new_table(kind: str, definition: Tree, relation: Tree, new: Novelty) -> Judgement:
    other = definition.get("PartitionCmd", {}).get("name") or definition.get("RangeVar")
    if kind in ("AT_AttachPartition", "AT_AddInherit") and other and not new.has_table(other):
        return breaking(f"{name(other)} becomes part of {name(relation)}, which may refuse rows of old code")
    constraints = [definition] if "Constraint" in definition else definition.get("ColumnDef", {}).get("constraints", [])
    return next(
        (found for one in constraints if (found := reference(one["Constraint"], new))),
        additive(f"{name(relation)} is new", settled=True),
    )


def reference(constraint: Tree, new: Novelty) -> Judgement | None:
    """What is wrong with a foreign key from what is new to what is old: it may hold old rows that old code deletes."""
    other = constraint.get("pktable")
    if constraint["contype"] != "CONSTR_FOREIGN" or other is None or new.has_table(other):
        return None
    if constraint.get("fk_del_action", "a") in "cnd":
        return None  # the rows that refer to it go along, or let go of it
    return breaking(f"new rows may refer to {name(other)}, which old code could then not delete from")


def _column_added(definition: Tree, relation: Tree, new: Novelty, may_exist: bool) -> Judgement:
    what = f"{name(relation)}.{definition['colname']}"
    constraints = [part["Constraint"] for part in definition.get("constraints", [])]
    kinds = {one["contype"] for one in constraints}
    given = next((one["raw_expr"] for one in constraints if one["contype"] == "CONSTR_DEFAULT"), None)
    numbered = texts(definition["typeName"]["names"])[-1] in _SERIAL or "CONSTR_IDENTITY" in kinds
    filled = numbered or "CONSTR_GENERATED" in kinds or (given is not None and not is_null(given))
    required = bool({"CONSTR_NOTNULL", "CONSTR_PRIMARY"} & kinds)
    unique = bool({"CONSTR_UNIQUE", "CONSTR_PRIMARY"} & kinds)
    bound = unique or "CONSTR_FOREIGN" in kinds
    if not may_exist:
        new.add_column(relation, definition["colname"], Column(required, filled, bound))
    if required and not filled:
        return breaking(f"{what} must have a value, which old code does not give it")
    if "CONSTR_CHECK" in kinds:
        return breaking(f"{what} is checked, and old code does not know how")
    for one in constraints:
        if one["contype"] == "CONSTR_GENERATED" and not total(one["raw_expr"]):
            return breaking(f"{what} is computed, which may fail for rows of old code")
        if found := reference(one, new):
            return found
    if given is not None and (calls := strange_calls(given)):
        return unknown(f"{what} gets its default from {calls[0]}(), of which nothing is known")
    if bound and filled and not (numbered and "CONSTR_FOREIGN" not in kinds):
        return breaking(f"{what} is bound, and what old code leaves there may be refused")
    if any(one.get("nulls_not_distinct") for one in constraints):
        return breaking(f"{what} is unique, and old code leaves it empty everywhere")
    how = "has a default" if filled else "may be empty"
    return additive(f"{what} is new and {how}", settled=bool(constraints))


def _constraint_added(constraint: Tree, relation: Tree, new: Novelty) -> Judgement:
    kind = constraint["contype"]
    names = texts(constraint.get("fk_attrs") or constraint.get("keys"))
    if kind in ("CONSTR_FOREIGN", "CONSTR_UNIQUE") and _left_empty(relation, names, constraint, new):
        return reference(constraint, new) or additive(
            f"{name(relation)}: a constraint on a new column, which old code leaves empty", settled=True
        )
    return breaking(f"{name(relation)} has a new constraint, which may refuse rows of old code")


def _left_empty(relation: Tree, names: list[str], constraint: Tree, new: Novelty) -> bool:
    """Whether old code leaves one of these columns empty, so that no constraint or unique index can refuse its rows."""
    columns = [new.column(relation, one) for one in names]
    if constraint.get("nulls_not_distinct") or constraint.get("fk_matchtype", "s") == "f":
        return False
    if not any(column and not column.filled and not column.required for column in columns):
        return False
    for column in columns:
        if column:
            column.bound = True
    return True


def indexed(node: Tree, new: Novelty) -> Iterator[Judgement]:
    """``CREATE INDEX``."""
    table, what = node["relation"], f"an index of {name(node['relation'])}"
    parts = [part["IndexElem"] for part in node["indexParams"]]
    if "idxname" in node and not node.get("if_not_exists"):
        # An index lies in its table's schema.
        new.add(new.relation({**table, "relname": node["idxname"]}))
    if new.has_table(table):
        yield additive(f"{what}, which is new", settled=True)
    elif node.get("unique") and not _left_empty(table, [part.get("name", "") for part in parts], node, new):
        yield breaking(f"{what} is unique and may refuse rows of old code")
    elif not total([parts, node.get("whereClause")]):
        yield breaking(f"{what} is of an expression that may fail for rows of old code")
    else:
        yield additive(what, settled=bool(node.get("unique")))


def _new_column_changed(kind: str, definition: Tree, what: str, column: Column) -> Judgement:
    """A column that was added to an old table by the same migrations."""
    if kind == "AT_SetNotNull":
        column.required = True
    elif kind == "AT_DropNotNull":
        column.required = False
    elif kind == "AT_ColumnDefault":
        column.filled = bool(definition) and not is_null(definition)
        if column.filled and (calls := strange_calls(definition)):
            return unknown(f"{what} gets its default from {calls[0]}(), of which nothing is known")
    elif kind == "AT_AddIdentity":
        column.filled = True
    elif kind not in ("AT_DropColumn", "AT_AlterColumnType", *_HARMLESS):
        return breaking(f"{what} is changed in a way that old code may not bear")
    if column.required and not column.filled:
        return breaking(f"{what} must have a value, which old code does not give it")
    if column.filled and column.bound and kind != "AT_DropColumn":
        return breaking(f"{what} is bound, and what old code leaves there may be refused")
    return additive(f"{what} is new", settled=True)
