"""A first proposal of what becomes of every column, by names, types and a sample of values; for a person to judge."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from typing import Any

import psycopg
from psycopg import sql

from ops.errors import DatabaseError, printable
from ops.lock import Lock
from ops.masking import Masked, Masking
from ops.stores import open_store
from ops.worker.beside import LOCK
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect
from ops.worker.drill import scratch_name
from ops.worker.masking.classification import into, is_key, literal, named, origin, quoted
from ops.worker.masking.likely import Likely, likely, whole
from ops.worker.masking.survey import TEXTS, Column, Survey, Table
from ops.worker.origin import opened, surveyed
from ops.worker.pulse import Pulse
from ops.worker.refresh import SCRATCH
from ops.worker.request import Request
from ops.worker.restore import drop
from ops.worker.rows import Name

SAMPLE = 500
"""Values of a column that are looked at."""
_FEW = 12
"""Different values that a column may have to be one of a few."""
_MANY = 100
"""Values that must have been seen to tell that."""
_BY_TYPE = ('"fake text"', "Noise(percent=10)")
"""What is proposed where the name tells nothing."""
_SHARE = 0.6
"""Of the values that must look like it."""
_LOOKS = (
    ("e-mail addresses", re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$"), '"fake email"'),
    ("tokens (JWT)", re.compile(r"^eyJ[\w-]+\.[\w-]+\.[\w-]*$"), '"hash"'),
    ("account numbers (IBAN)", re.compile(r"^[A-Z]{2}\d{2}[A-Z0-9 ]{11,32}$"), '"hash"'),
    ("addresses of networks", re.compile(r"^\d{1,3}(\.\d{1,3}){3}$"), '"hash"'),
    ("phone numbers", re.compile(r"^\+?[\d ()./-]{7,20}$"), '"fake phone"'),
    ("keys or hashes", re.compile(r"^(?=.*\d)[0-9A-Za-z_-]{20,}$"), '"hash"'),
)


def run(request: Request) -> dict[str, Any]:
    """Propose a rule for every column that has none.

    Raises:
        OpsError: the data could not be brought; what was made for it is gone again.
    """
    assert request.database is not None and request.refresh is not None
    database, described = request.database, request.refresh
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    scratch = scratch_name(catalogue, SCRATCH)
    name = f"{scratch}_schema"  # not where a refresh or a restore may have put what is about to be swapped in
    server = (described.scratch or database).plain()
    with Lock(store, catalogue.prefix + LOCK, request.owner, "a classification"), ExitStack() as stack:
        drop(database, name)
        drop(server, scratch)
        origin = stack.enter_context(opened(described.source, request.backup, request.environment))
        pulse = stack.enter_context(Pulse(database.deadline, database, name))
        archive = stack.enter_context(origin.archive(pulse))
        found, _ = surveyed(origin, archive, database, name, pulse)
        source = stack.enter_context(origin.originals(server, scratch, archive, request.jobs))
        with closing(connect(source, watched=pulse.cuts)) as connection:
            lines, columns = proposed(connection, found, described.masking)
    return {"lines": lines, "columns": columns, "source": origin.id}


def proposed(connection: psycopg.Connection, found: Survey, masking: Masking) -> tuple[list[str], int]:
    """Lines for ``tables={…}``, each with its reason and without any value, and of how many columns they are.

    Args:
        connection: to a database with the rows.
        found: its tables, with keys.
        masking: what is classified already, and left out.
    """
    lines, columns = [], 0
    rules, _ = named(found, masking)
    proposals = _Proposals(connection, found)
    for name, table in found.tables.items():
        if table.root is not None:
            continue
        rule = rules.get(name)
        if rule is not None and not isinstance(rule, Masked):
            continue
        if table.kind == "f":
            lines += [] if rule else [f'{literal(quoted(name))}: "remote",  # a foreign table']
            continue
        known = rule.columns if isinstance(rule, Masked) else {}
        new = [one for one in table.columns if not one.computed and one.name not in known]
        if not new:
            continue
        told = [proposals.line(column, name) for column in new]
        better = whole(name.table)
        rather = f"  # by its name: is it not rather {better}?" if better else ""
        begin, end = ([into(name)], []) if known else ([f"{literal(quoted(name))}: {{{rather}"], ["},"])
        lines += [*begin, *(f"    {line}" for line in told), *end]
        columns += len(told)
    return lines, columns


class _Proposals:
    """What is proposed, column by column."""

    def __init__(self, connection: psycopg.Connection, found: Survey) -> None:
        self._connection = connection
        self._found = found
        self._seen: dict[Name, dict[str, list[str]]] = {}

    def line(self, column: Column, table: Name) -> str:
        """A line to be pasted; what refers to another column has its rule."""
        of, there = origin(column, table, self._found)
        key = is_key(there, of, self._found)
        one = _by_values(there, key, self._values(there, of)) or likely(there, key)
        reason = one.reason if of == table and there is column else f"as {of}.{there.name}"
        return f"{literal(column.name)}: {one.rule},  # {printable(f'{column.type.shown}: {reason}')}"

    def _values(self, column: Column, table: Name) -> list[str]:
        if table not in self._seen:
            whole = self._found.tables[table]
            self._seen[table] = _sample(self._connection, whole, [one for one in whole.columns if not one.computed])
        return self._seen[table].get(column.name, [])


def _by_values(column: Column, key: bool, values: list[str]) -> Likely | None:
    """What the values tell, where they tell more than name and type."""
    if not values:
        return None
    room = column.type.name in TEXTS and (column.type.length is None or column.type.length >= 32)
    for words, pattern, rule in _LOOKS if room else ():
        alike = sum(bool(pattern.match(value)) for value in values) / len(values)
        if alike >= _SHARE:
            return Likely(rule, f"{alike:.0%} of {len(values)} values look like {words}")
    named, few = likely(column, key), len(set(values))
    if named.rule in _BY_TYPE and not key and len(values) >= _MANY and few <= _FEW:
        return Likely('"keep"', f"{few} different values among {len(values)}: is it a kind or a state?")
    return None


def _sample(connection: psycopg.Connection, table: Table, columns: list[Column]) -> dict[str, list[str]]:
    try:
        return {
            column.name: [
                str(value)
                for (value,) in connection.execute(
                    sql.SQL("SELECT left({0}::text, 200) FROM {1} WHERE {0} IS NOT NULL LIMIT {2}").format(
                        sql.Identifier(column.name), table.name.quoted(), sql.Literal(SAMPLE)
                    )
                )
            ]
            for column in columns
        }
    except psycopg.Error as error:
        # What PostgreSQL says of a row quotes it.
        raise DatabaseError(f"{table.name} cannot be read: PostgreSQL {type(error).__name__}") from None
