"""What there is to be masked: every table that can hold rows, every column whatever its type, and what binds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import psycopg

from ops.worker.rows import Name

TEXTS = ("text", "varchar", "bpchar", "name", "citext")
INTEGERS = ("int2", "int4", "int8")

_SETTINGS = {
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "row_security": "off",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
}

# Temporary tables are not dumped; views and materialised views have no rows that are not made of others'.
_TABLES = """
    SELECT c.oid, n.nspname, c.relname, c.relkind::text,
           CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END,
           e.extname, c.oid = ANY (e.extconfig), e.extcondition[array_position(e.extconfig, c.oid)],
           pg_table_size(c.oid)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
      LEFT JOIN pg_extension e ON e.oid = d.refobjid
     WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     ORDER BY 2, 3
"""
_COLUMNS = """
    SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, a.attnotnull,
           a.attgenerated <> '', a.attidentity <> ''
      FROM pg_attribute a
     WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attrelid, a.attnum
"""
_TYPES = """
    SELECT oid, typname, typtype::text, typcategory::text, typbasetype, typtypmod, typelem, typnotnull FROM pg_type
"""
# An index on an expression is told of the columns whose names stand in it.
_UNIQUE = r"""
    SELECT i.indrelid, array_agg(DISTINCT a.attname)
      FROM pg_index i, generate_series(0, i.indnkeyatts - 1) AS k
      JOIN pg_attribute a ON a.attnum > 0 AND NOT a.attisdropped
     WHERE i.indisunique AND i.indrelid = ANY (%s) AND a.attrelid = i.indrelid
       AND (a.attnum = i.indkey[k] OR i.indkey[k] = 0
            AND pg_get_indexdef(i.indexrelid, k + 1, false)
                ~ ('(^|[^\w"$])' || regexp_replace(quote_ident(a.attname), '([^\w])', '\\\1', 'g') || '([^\w"$]|$)'))
     GROUP BY i.indexrelid, i.indrelid
"""
_REFERENCES = """
    SELECT k.conname, k.conrelid, array_agg(a.attname ORDER BY p.place), k.confrelid,
           array_agg(b.attname ORDER BY p.place)
      FROM pg_constraint k, unnest(k.conkey, k.confkey) WITH ORDINALITY AS p(near, far, place)
      JOIN pg_attribute a ON true JOIN pg_attribute b ON true
     WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY (%s)
       AND a.attrelid = k.conrelid AND a.attnum = p.near AND b.attrelid = k.confrelid AND b.attnum = p.far
     GROUP BY k.oid ORDER BY k.conname
"""
_KEYS = """
    SELECT p.partrelid, array_agg(a.attname), bool_or(k.number = 0)
      FROM pg_partitioned_table p, unnest(p.partattrs::int2[]) AS k(number)
      LEFT JOIN pg_attribute a ON a.attnum = k.number AND a.attnum > 0
     WHERE p.partrelid = ANY (%s) AND (a.attrelid = p.partrelid OR k.number = 0)
     GROUP BY p.partrelid
"""


@dataclass(frozen=True)
class Type:
    """A type, as far as masking goes into it.

    Args:
        shown: as SQL spells it.
        name: of the type itself, or of what a domain is made of; of the elements, for an array.
        category: PostgreSQL's letter for that: S texts, N numbers, D dates, E enums, …
        array: whether it is one.
        length: characters that fit; None: any number.
        precision: digits of a numeric; None: any number.
        scale: of them behind the point.
    """

    shown: str
    name: str
    category: str
    array: bool = False
    length: int | None = None
    precision: int | None = None
    scale: int | None = None


@dataclass(frozen=True)
class Column:
    """A column.

    Args:
        name: its name.
        type: its type.
        required: it must not be NULL.
        computed: PostgreSQL computes it from others.
        identity: PostgreSQL numbers it.
    """

    name: str
    type: Type
    required: bool
    computed: bool
    identity: bool


@dataclass(frozen=True)
class Table:
    """A table that can hold rows, or a partitioned or a foreign one.

    Args:
        name: schema and name.
        kind: PostgreSQL's letter: r, p for a partitioned, f for a foreign one.
        root: whose partition it is.
        extension: to which it belongs.
        dumped: which of an extension's rows are dumped, as ``WHERE …``; None for none.
        bytes: its size.
        columns: in their order.
    """

    name: Name
    kind: str
    root: Name | None
    extension: str | None
    dumped: str | None
    bytes: int
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Reference:
    """A foreign key.

    Args:
        name: of the constraint.
        table: that refers, for a partition the table it is part of.
        columns: its columns.
        other: the table that is referred to.
        others: its columns.
    """

    name: str
    table: Name
    columns: tuple[str, ...]
    other: Name
    others: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """What there is in a database.

    Args:
        tables: by name.
        unique: the columns of each unique index, primary keys included; a partition's are those of its table.
        references: the foreign keys.
        keys: by partitioned table, the columns by which it or a part of it is parted; None: by an expression.
        large_objects: how many.
    """

    tables: Mapping[Name, Table]
    unique: tuple[tuple[Name, frozenset[str]], ...]
    references: tuple[Reference, ...]
    keys: Mapping[Name, frozenset[str] | None]
    large_objects: int

    def with_keys_of(self, other: Survey) -> Survey:
        """The same tables, with the indexes and foreign keys that another survey found."""
        return replace(self, unique=other.unique, references=other.references)

    def type_of(self, table: Name, column: str) -> Type:
        """The type of a column that is there."""
        return next(one.type for one in self.tables[table].columns if one.name == column)

    def referred(self, table: Name, column: str) -> tuple[Name, str]:
        """The column that one refers to, by however many foreign keys; itself, when it refers to none."""
        seen = {(table, column)}
        while True:
            further = [
                (one.other, far)
                for one in self.references
                for near, far in zip(one.columns, one.others, strict=True)
                if (one.table, near) == (table, column) and (one.other, far) not in seen and one.other in self.tables
            ]
            if not further:
                return table, column
            table, column = further[0]
            seen.add(further[0])

    @cached_property
    def distinct(self) -> frozenset[tuple[Name, str]]:
        """The columns of which two values must not become one: of unique indexes, and what refers to those."""
        found = {(table, column) for table, columns in self.unique for column in columns}
        while True:
            more = {
                (one.table, near)
                for one in self.references
                for near, far in zip(one.columns, one.others, strict=True)
                if (one.other, far) in found
            } - found
            if not more:
                return frozenset(found)
            found |= more


def settle(connection: psycopg.Connection) -> None:
    """Let a session write and read values as every other one does, whatever is set for its role or database."""
    for setting, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", [setting, value])


def survey(connection: psycopg.Connection) -> Survey:
    """Look at a database, of which only the catalogue is read."""
    settle(connection)
    found = connection.execute(_TABLES).fetchall()
    names = {oid: Name(schema, name) for oid, schema, name, *_ in found}
    roots = {oid: names[root] for oid, *_, root, _, _, _, _ in found if root}
    oids = list(names)
    columns = _columns(connection, oids)
    tables = {}
    for oid, _, _, kind, _, extension, configuration, condition, size in found:
        if extension and not configuration:
            continue  # nobody dumps it
        dumped = (condition or "WHERE true") if extension else None
        name = names[oid]
        tables[name] = Table(name, kind, roots.get(oid), extension, dumped, size, tuple(columns.get(oid, ())))

    def whole(oid: int) -> Name:
        return roots.get(oid, names[oid])

    keys: dict[Name, frozenset[str] | None] = {}
    for oid, attributes, expressed in connection.execute(_KEYS, [oids]):
        before = keys.get(whole(oid), frozenset())
        keys[whole(oid)] = None if expressed or before is None else before | frozenset(attributes)
    unique = {(whole(oid), frozenset(attributes)) for oid, attributes in connection.execute(_UNIQUE, [oids])}
    references = tuple(
        Reference(name, whole(near), tuple(nears), whole(far), tuple(fars))
        for name, near, nears, far, fars in connection.execute(_REFERENCES, [oids])
    )
    row = connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
    assert row is not None
    return Survey(tables, tuple(sorted(unique, key=str)), references, keys, int(row[0]))


def _columns(connection: psycopg.Connection, oids: list[int]) -> dict[int, list[Column]]:
    types = {row[0]: row[1:] for row in connection.execute(_TYPES)}
    found: dict[int, list[Column]] = {}
    for relation, name, shown, oid, modifier, required, computed, identity in connection.execute(_COLUMNS, [oids]):
        type, never_null = _type(types, shown, oid, modifier)
        column = Column(name, type, required or never_null, computed, identity)
        found.setdefault(relation, []).append(column)
    return found


def _type(types: dict[int, tuple[object, ...]], shown: str, oid: int, modifier: int) -> tuple[Type, bool]:
    """Through domains and arrays to what it is made of; and whether a domain forbids NULL."""
    array = never_null = False
    while True:
        name, sort, category, base, its_modifier, element, not_null = types[oid]
        if sort == "d":
            never_null = never_null or (bool(not_null) and not array)
            oid = int(str(base))
            modifier = int(str(its_modifier)) if modifier == -1 else modifier
        elif category == "A" and element:
            array, oid = True, int(str(element))
        else:
            break
    length = precision = scale = None
    if modifier >= 4 and name in ("varchar", "bpchar"):
        length = modifier - 4
    elif name == "name":
        length = 63
    elif modifier >= 4 and name == "numeric":
        precision, scale = (modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024
    letter = {"c": "C", "e": "E", "r": "R", "m": "R"}.get(str(sort), str(category))
    return Type(shown, str(name), letter, array, length, precision, scale), never_null
