"""What is inside a statement: functions that it calls, tables that it writes, expressions that can fail for no row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Tree = dict[str, Any]

_TOTAL = frozenset((
    "btrim", "char_length", "concat", "left", "length", "lower", "ltrim", "md5", "octet_length", "replace", "right",
    "rtrim", "substring", "upper",
))  # fmt: skip
"""Functions of PostgreSQL that answer for every value."""
_KNOWN = _TOTAL | frozenset((
    "abs", "array_agg", "array_append", "array_length", "array_remove", "array_to_string", "avg", "bool_and",
    "bool_or", "cardinality", "ceil", "ceiling", "clock_timestamp", "count", "current_setting", "date_part",
    "date_trunc", "dense_rank", "encode", "extract", "first_value", "floor", "format", "gen_random_uuid",
    "generate_series", "initcap", "jsonb_agg", "jsonb_array_elements", "jsonb_array_length", "jsonb_build_array",
    "jsonb_build_object", "jsonb_object_agg", "jsonb_set", "jsonb_strip_nulls", "jsonb_typeof", "json_agg",
    "json_build_object", "lag", "last_value", "lead", "lpad", "make_interval", "max", "min", "mod", "nextval", "now",
    "ntile", "nullif", "position", "power", "random", "rank", "regexp_replace", "round", "row_number", "row_to_json",
    "rpad", "set_config", "sign", "split_part", "sqrt", "statement_timestamp", "string_agg", "string_to_array",
    "strpos", "substr", "sum", "timezone", "to_char", "to_date", "to_json", "to_jsonb", "to_number", "to_timestamp",
    "to_tsvector", "transaction_timestamp", "translate", "trunc", "unnest", "uuid_generate_v4", "uuidv4", "uuidv7",
    "version", "pg_sleep", "pg_typeof",
))  # fmt: skip
"""Functions of PostgreSQL that change nothing but, at most, a sequence or a setting of the session."""
_PLAIN = frozenset((
    "ColumnRef", "String", "Integer", "Float", "Boolean", "A_Const", "A_Expr", "BoolExpr", "NullTest", "BooleanTest",
    "CoalesceExpr", "List", "FuncCall", "CollateClause", "TypeName", "TypeCast",
))  # fmt: skip
_OPERATORS = frozenset(("=", "<>", "!=", "<", ">", "<=", ">=", "->", "->>", "||"))
_WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")


def nodes(tree: Any) -> Iterator[tuple[str, Tree]]:
    """Every node in a tree, by its kind."""
    if isinstance(tree, list):
        for part in tree:
            yield from nodes(part)
    elif isinstance(tree, dict):
        for name, value in tree.items():
            if name[0].isupper() and isinstance(value, dict):
                yield name, value
            yield from nodes(value)


def texts(names: Any) -> list[str]:
    """The parts of a name, such as schema and table."""
    return [node["sval"] for kind, node in nodes(names) if kind == "String"]


def strange_calls(tree: Any) -> list[str]:
    """Functions that are called and of which nothing is known."""
    called = [texts(node["funcname"]) for kind, node in nodes(tree) if kind == "FuncCall"]
    return sorted({".".join(names) for names in called if _function(names) not in _KNOWN})


def written(tree: Any) -> list[tuple[str, Tree]]:
    """The statements within, the outermost first, that change rows."""
    return [(kind, node) for kind, node in nodes(tree) if kind in _WRITES]


def total(tree: Any) -> bool:
    """Whether an expression has a value for every row, whatever old code writes there."""
    for kind, node in nodes(tree):
        if kind not in _PLAIN:
            return False
        if kind == "FuncCall" and _function(texts(node["funcname"])) not in _TOTAL:
            return False
        if kind == "A_Expr" and texts(node["name"])[-1] not in _OPERATORS:
            return False
        if kind == "TypeCast" and "A_Const" not in node["arg"]:
            return False
    return True


def is_null(tree: Tree) -> bool:
    """Whether an expression is NULL, whatever its type."""
    if "TypeCast" in tree:
        return is_null(tree["TypeCast"]["arg"])
    return bool(tree.get("A_Const", {}).get("isnull"))


def _function(names: list[str]) -> str:
    """Its name, where it is PostgreSQL's own as far as can be seen."""
    return names[-1].lower() if len(names) == 1 or names[0] == "pg_catalog" else ".".join(names)
