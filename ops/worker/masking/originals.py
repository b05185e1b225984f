"""Whether any value of a masked column survives in the new database, in whatever column, as a whole or within a text.

Of the originals only keyed hashes are made, and only in the database that they are in; what is compared with them
comes from the new database. So nothing of them gets into a file of that, not even for a moment.

What is looked for: texts of six characters or more, numbers of nine digits or more, addresses, ids, and such values
within JSON. Dates, smaller numbers and short texts tell nobody apart. Large tables are looked at in part, and it is
said how much of them.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import psycopg

from ops.database import Postgres
from ops.errors import OriginalsLeft
from ops.masking import AnyRule, Constant, Expression, Json, Keep, Masked, Masking, steps
from ops.worker.connection import connect, failure
from ops.worker.fingerprint import definitions
from ops.worker.masking.classification import classify, quoted
from ops.worker.masking.masks import constant, identifier, literal
from ops.worker.masking.survey import INTEGERS, TEXTS, Column, Survey, Table, Type, settle, survey
from ops.worker.piped import pipe
from ops.worker.progress import reporting, say
from ops.worker.pulse import Pulse

SHORTEST = 6
"""Characters of a text that is looked for."""
DIGITS = 9
"""Of a number that is looked for: ids are smaller."""
WHOLE = 32e6
"""Bytes of a table whose values are looked at; of a larger one a part."""
WITHIN = 4e6
"""Bytes of a table whose texts are taken apart."""

# The same on both sides: what PostgreSQL takes for a letter hangs on the database's locale.
_WORD = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]+")
_NO_WORD = r"E'[\\x01-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\x7f]+'"
_TOKEN = re.compile(r"[^\s\"'{}\[\]():;,<>=&?|\\/]+")
_DEFINITION = "the definition of"
_LONGEST = 60
"""Characters of a value that is also looked for word by word."""
_ADDRESSES = ("inet", "cidr")
_PLAIN = (*TEXTS, *INTEGERS, "numeric", "uuid", "macaddr", "macaddr8", *_ADDRESSES, "bytea")
_ORDINARY = (
    *("date", "timestamp", "timestamptz", "time", "timetz", "interval"),
    *("bool", "bit", "varbit", "float4", "float8", "money", "oid"),
)


@dataclass(frozen=True)
class Survivor:
    """Values of a masked column that are in the new database.

    Args:
        masked: the column that they were in.
        found: the column that they are in now.
        values: how many were seen.
    """

    masked: str
    found: str
    values: int

    def __str__(self) -> str:
        return f"{self.values} of {self.masked} in {self.found}"


def survivors(source: Postgres, target: Postgres, masking: Masking, keys: Survey, pulse: Pulse) -> None:
    """Look for originals in the new database: there must be none.

    Args:
        source: the database with the originals; only temporary tables are made in it.
        target: the masked one, of which only is read.
        masking: what became of every table and column.
        keys: as for ``mask``.
        pulse: told of whatever moves; cuts the connections when nothing does.

    Raises:
        OriginalsLeft: there are some; which columns' values are in which columns is in ``report``.
        DatabaseError: it could not be looked at.
    """
    with closing(connect(source, watched=pulse.cuts)) as near, closing(connect(target, watched=pulse.cuts)) as far:
        found = survey(near).with_keys_of(keys)
        settle(far)
        rules = classify(found, masking)
        tables = [
            (table, rule)
            for table in found.tables.values()
            if isinstance(rule := rules[table.root or table.name], Masked) and table.kind == "r"
        ]
        scan = _Scan(near, far, tables, _common(masking, found), pulse)
        try:
            with reporting(lambda: f"looking for originals: {scan}"):
                survived = scan.survivors()
        except psycopg.Error as error:
            # Its own words may quote a value.
            raise failure(type(error)(f"{type(error).__name__} while originals were looked for")) from None
        say(f"looked for originals: {scan}")
    # That is code, which staging has anyway; and a word in it need not be the person's.
    for one in survived:
        if one.found.startswith(_DEFINITION):
            say(f"to be looked at: {one}")
    survived = [one for one in survived if not one.found.startswith(_DEFINITION)]
    if not survived:
        return
    columns = len({one.masked for one in survived})
    left = OriginalsLeft(
        f"values of {columns} masked column{'s' if columns > 1 else ''} are in the masked database: {survived[0]}",
        "Mask that column too; where it is by chance, as with names of cities, name it in Masking(common=…)",
    )
    left.report = {"survivors": [str(one) for one in survived]}
    raise left


def _common(masking: Masking, found: Survey) -> frozenset[str]:
    """As places are called, however they are written."""
    return frozenset(
        f"{name}.{column.name}"
        for name, table in found.tables.items()
        for column in table.columns
        if {f"{quoted(name)}.{column.name}", f"{name}.{column.name}"} & set(masking.common)
    )


class _Scan:
    """One search."""

    def __init__(
        self,
        near: psycopg.Connection,
        far: psycopg.Connection,
        tables: list[tuple[Table, Masked]],
        common: frozenset[str],
        pulse: Pulse,
    ) -> None:
        self._near = near
        self._far = far
        self._tables = tables
        self._common = common
        self._pulse = pulse
        self._places: list[str] = []
        self._seed = secrets.randbits(62)
        self._looked = 0
        self._in_part: set[str] = set()

    def __str__(self) -> str:
        part = f", {', '.join(sorted(self._in_part))} in part" if self._in_part else ""
        return f"{self._looked} of {len(self._tables)} tables{part}"

    def survivors(self) -> list[Survivor]:
        """Gather what was masked, then what is there, and compare."""
        for connection in (self._near, self._far):
            connection.execute("SET work_mem = '128MB'")
        self._near.execute("CREATE TEMPORARY TABLE ops_originals (place int2, hash int8)")
        self._near.execute("CREATE TEMPORARY TABLE ops_found (place int2, hash int8)")
        self._near.execute("CREATE TEMPORARY TABLE ops_within (place int2, value text)")
        for table, rule in self._tables:
            self._gather(table, rule)
        self._defined()
        for table, rule in self._tables:
            self._whole(table)
            self._within(table, rule)
            self._looked += 1
        self._near.execute(f"INSERT INTO ops_found SELECT place, {self._hash('value')} FROM ops_within")
        both = self._near.execute(
            "SELECT o.place, f.place, count(DISTINCT hash) FROM ops_originals o JOIN ops_found f USING (hash)"
            " GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        )
        return [Survivor(self._places[masked], self._places[there], count) for masked, there, count in both]

    def _place(self, table: Table, column: Column) -> int:
        name = f"{table.root or table.name}.{column.name}"
        if name not in self._places:
            self._places.append(name)
        return self._places.index(name)

    def _hash(self, value: str) -> str:
        return f'hashtextextended({value} COLLATE "C", {self._seed})'

    def _rows(self, table: Table, most: float) -> str:
        """A table, or as many of its pages as there are bytes to be looked at."""
        name = f"ONLY {identifier(table.name.schema)}.{identifier(table.name.table)} AS r"
        if table.bytes <= most:
            return name
        self._in_part.add(str(table.name))
        return f"{name} TABLESAMPLE SYSTEM ({100 * most / table.bytes:.6f})"

    def _gather(self, table: Table, rule: Masked) -> None:
        """Hashes of what stood in the masked columns of a table."""
        values, constants = [], ["''"]
        for column in table.columns:
            its = rule.columns.get(column.name)
            if its is None or isinstance(its, Keep):
                continue
            constants += [f"lower({literal(value)})" for value in _constants(its, column.type)]
            for value in _originals(its, f"r.{identifier(column.name)}", column.type):
                values.append(f"SELECT {self._place(table, column)}, {value}")
        if not values:
            return
        rows = f"{self._rows(table, WHOLE)} CROSS JOIN LATERAL ({' UNION ALL '.join(values)}) AS v(place, value)"
        distinctive = f"SELECT place, lower(btrim(value)) AS value FROM {rows} WHERE length(value) >= {SHORTEST}"
        # A text of a few words may stand in another with other signs between them.
        words = f"btrim(regexp_replace(value, {_NO_WORD}, ' ', 'g'))"
        several = f"length(value) <= {_LONGEST} AND value ~ {_NO_WORD}"
        self._near.execute(
            f"INSERT INTO ops_originals SELECT place, {self._hash('form')} FROM ({distinctive} OFFSET 0) AS d"
            f" CROSS JOIN LATERAL (VALUES (value), (CASE WHEN {several} THEN {words} END)) AS f(form)"
            f" WHERE length(form) >= {SHORTEST} AND value NOT IN ({', '.join(constants)})"
        )
        self._pulse.beat()

    def _whole(self, table: Table) -> None:
        """Compare values as they are."""
        values = [
            f"SELECT {self._place(table, column)}, {value}"
            for column in self._searched(table)
            for value in _shown(f"r.{identifier(column.name)}", column.type)
        ]
        if not values:
            return
        rows = f"{self._rows(table, WHOLE)} CROSS JOIN LATERAL ({' UNION ALL '.join(values)}) AS v(place, value)"
        pipe(
            self._far,
            f"COPY (SELECT DISTINCT place, {self._hash('lower(btrim(value))')} FROM {rows}"
            f" WHERE length(value) >= {SHORTEST}) TO STDOUT",
            self._near,
            "COPY pg_temp.ops_found FROM STDIN",
            lambda size: self._pulse.beat(),
        )

    def _defined(self) -> None:
        """Compare what the schema itself says: bounds of partitions, labels, conditions, views, functions."""
        with self._near.cursor() as into, into.copy("COPY pg_temp.ops_within FROM STDIN") as copy:
            for name, definition in definitions(self._far):
                if found := parts(definition.lower()):
                    self._places.append(f"{_DEFINITION} {name}")
                    for part in found:
                        copy.write_row((len(self._places) - 1, part))
        settle(self._far)
        self._pulse.beat()

    def _within(self, table: Table, rule: Masked) -> None:
        """Compare what texts are made of: words, up to three of them, and what stands between blanks."""
        for column in self._searched(table):
            its = rule.columns.get(column.name, Keep())
            longer = column.type.name in TEXTS or column.type.name not in (*_PLAIN, *_ORDINARY)
            if not longer or column.type.category == "E" or not isinstance(its, Keep | Expression | Json):
                continue
            place = self._place(table, column)
            asked = f"SELECT lower(r.{identifier(column.name)}::text) FROM {self._rows(table, WITHIN)}"
            with self._far.cursor(binary=True) as cursor, self._near.cursor() as into:
                with into.copy("COPY pg_temp.ops_within FROM STDIN") as copy:
                    seen: set[str] = set()
                    for (text,) in cursor.stream(asked):
                        new = parts(text or "") - seen
                        seen |= new
                        for part in new:
                            copy.write_row((place, part))
            self._pulse.beat()

    def _searched(self, table: Table) -> Iterator[Column]:
        for column in table.columns:
            if f"{table.root or table.name}.{column.name}" not in self._common:
                yield column


def parts(text: str) -> set[str]:
    """What a text is made of that may be an original: words, up to three of them, and what stands between blanks."""
    words = _WORD.findall(text)
    found = {
        " ".join(words[start : start + count]) for count in (1, 2, 3) for start in range(max(0, len(words) - count + 1))
    }
    found |= {token.strip(".!-_*#") for token in _TOKEN.findall(text)}
    return {part for part in found if len(part) >= SHORTEST}


def _originals(rule: AnyRule, value: str, type: Type) -> list[str]:
    """What is distinctive of a masked column, as SQL: each one text, or a set of them."""
    if not isinstance(rule, Json):
        return _shown(value, type) or (
            [f"{value}::text"] if type.name not in _ORDINARY and type.category != "E" else []
        )
    document = f"{value}::jsonb"
    texts = "#>> '{}'"
    below = '? (@.type() == "string" || @.type() == "number")'
    masked = [path for path, its in rule.paths.items() if not isinstance(its, Keep)]
    found = []
    for path in masked:
        followed = steps(path)
        if None in followed:
            found.append(f"jsonb_path_query({document}, {literal(_jsonpath(followed))}) {texts}")
        else:
            found.append(f"{document} #>> ARRAY[{', '.join(literal(str(step)) for step in followed)}]")
    if rule.rest == "remove":
        kept = [path for path in rule.paths if path not in masked]
        leaves = f"SELECT jsonb_path_query({document}, {literal(f'$.** {below}')}) {texts}"
        for path in kept:
            there = literal(f"{_jsonpath(steps(path))}.** {below}")
            leaves += f" EXCEPT SELECT jsonb_path_query({document}, {there}) {texts}"
        found.append(f"x FROM ({leaves}) AS l(x)")
    return found


def _jsonpath(followed: tuple[str | None, ...]) -> str:
    return "$" + "".join("[*]" if step is None else f".{json.dumps(step, ensure_ascii=False)}" for step in followed)


def _shown(value: str, type: Type) -> list[str]:
    """A value that can be compared as a whole, as text; none for types that have no such values."""
    if type.array and type.name in _PLAIN:
        return [
            f"x FROM unnest({value}) AS u(e) CROSS JOIN LATERAL (SELECT {one}) AS t(x)"
            for one in _shown("e", replace(type, array=False))
        ]
    if type.name in TEXTS or type.name in ("uuid", "macaddr", "macaddr8"):
        return [f"{value}::text"]
    if type.name in (*INTEGERS, "numeric"):
        large = f"({value} >= {10 ** (DIGITS - 1)} OR {value} <= -{10 ** (DIGITS - 1)})"
        # What is infinite, or no number, is not zero when it is taken from itself.
        return [f"CASE WHEN {large} AND {value} - {value} = 0 THEN {value}::text END"]
    if type.name in _ADDRESSES:
        return [f"host({value})"]
    return [f"encode({value}, 'hex')"] if type.name == "bytea" else []


def _constants(rule: AnyRule, type: Type) -> Iterator[str]:
    if isinstance(rule, Constant):
        yield constant(rule, type)
    elif isinstance(rule, Json):
        for its in rule.paths.values():
            if isinstance(its, Constant):
                yield its.value if isinstance(its.value, str) else json.dumps(its.value)
