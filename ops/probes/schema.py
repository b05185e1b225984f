"""Ask whether the schema has what the code expects of it. All that stands in the catalogues: no table is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from ops.checks import Outcome, Result, Schema
from ops.checks import Table as Expected
from ops.checks.result import unknown
from ops.errors import DatabaseError, DatabaseUnreachable, printable
from ops.probes.reading import Reading, reading
from ops.probes.server import listed
from ops.worker.request import Request

# An index or a sequence of that name is no table; a view is as good as one to who selects from it. A NOT NULL that is
# not validated lets in no new null, and has those that were there before.
_TABLE = """
    SELECT c.oid::bigint, c.relkind IN ('r', 'p', 'v', 'm', 'f'), n.nspname::text,
           (SELECT coalesce(json_object_agg(a.attname, json_build_array(
                     format_type(a.atttypid, a.atttypmod), a.atttypid::bigint,
                     NOT (a.attnotnull OR t.typnotnull) OR EXISTS (
                       SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n' AND NOT k.convalidated
                          AND a.attnum = ANY (k.conkey)))), '{}')
              FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
           (SELECT coalesce(json_object_agg(x.relname, i.indisvalid AND i.indisready AND i.indislive), '{}')
              FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid),
           (SELECT coalesce(json_object_agg(k.conname, k.convalidated), '{}')
              FROM pg_constraint k WHERE k.conrelid = c.oid)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%(name)s)
"""
_TABLES = """
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_TYPE = "SELECT to_regtype(%(name)s) = %(type)s::oid"
# Rights on a table are of no use without those on its schema.
_GRANTS = """
    SELECT a.role, quote_ident(r.rolname), a.privilege, has_table_privilege(r.oid, %(table)s::oid, a.privilege),
           has_schema_privilege(r.oid, %(schema)s, 'USAGE')
      FROM unnest(%(roles)s::text[], %(privileges)s::text[]) WITH ORDINALITY AS a (role, privilege, place)
      LEFT JOIN pg_roles r ON r.rolname = a.role ORDER BY a.place
"""
_CLOSE = 0.8
"""How much alike two names are of which one is meant by the other; 1: the same."""
_DRIFT = "Look at the migrations: was one not applied, or something changed by hand?"


def ask(check: Schema, at: Request) -> Iterable[Result]:
    """One result a table.

    Raises:
        DatabaseError: no connection.
    """
    assert at.database is not None
    with reading(at.database, check.timeout) as found:
        return [_held_against(table, found) for table in check.tables]


def _held_against(expected: Expected, found: Reading) -> Result:
    try:
        table = _Table(expected, found)
    except DatabaseUnreachable:
        raise
    except DatabaseError as error:
        return unknown(error.problem, error.hint, what=expected.name)
    value, hint = listed(table.wrong, 8) or "as it must be", "; ".join(list(dict.fromkeys(table.hints))[:3])
    outcome = Outcome.FAIL if table.wrong else Outcome.PASS
    return Result(outcome, printable(value), _counted(expected), printable(hint), expected.name)


class _Table:
    """What is wrong with a table, and what to do about it.

    Args:
        expected: what it must be.
        found: where it is looked for.
    """

    def __init__(self, expected: Expected, found: Reading) -> None:
        self._expected = expected
        self._found = found
        self.wrong: list[str] = []
        self.hints: list[str] = []
        known = found.rows(_TABLE, {"name": expected.name})
        if not known:
            names = {name.rpartition(".")[2]: name for (name,) in found.rows(_TABLES)}
            self._miss("there is no such table", expected.name.rpartition(".")[2], names)
            return
        self._oid, is_table, self._schema, columns, indexes, constraints = known[0]
        if not is_table:
            self._note("it is no table", _DRIFT)
            return
        self._look_at_columns(columns)
        self._look_at_indexes(indexes)
        self._look_at_constraints(constraints)
        if expected.grants:
            self._look_at_grants()

    def _look_at_columns(self, there: dict[str, list[Any]]) -> None:
        for name, column in self._expected.columns.items():
            known = _written(name, there)
            if known is None:
                self._miss(f"no column {name}", name, _others(there, self._expected.columns))
                continue
            type, oid, nullable = there[known]
            if column.type is not None and not self._is_type(column.type, type, oid):
                self._note(f"{name} is {type}, not {column.type}", _DRIFT)
            if column.nullable is not None and column.nullable != nullable:
                self._note(f"{name} may {'' if nullable else 'not '}be null", _DRIFT)

    def _is_type(self, expected: str, shown: str, oid: int) -> bool:
        """Whether it is that type, under this name or another one of its names, such as varchar(80) or int."""
        if " ".join(expected.split()) == shown:
            return True
        if _modifiers(expected) != _modifiers(shown):
            return False
        try:
            return self._found.row(_TYPE, {"name": re.sub(r"\(.*?\)", "", expected), "type": oid})[0] is True
        except DatabaseUnreachable:
            raise
        except DatabaseError:  # it is no type at all
            return False

    def _look_at_indexes(self, there: dict[str, bool]) -> None:
        for name in self._expected.indexes:
            known = _written(name, there)
            if known is None:
                self._miss(f"no index {name}", name, _others(there, self._expected.indexes))
            elif not there[known]:
                hint = f"Unless it is being built just now, in psql: REINDEX INDEX CONCURRENTLY {name}"
                self._note(f"the index {name} is not valid", hint)

    def _look_at_constraints(self, there: dict[str, bool]) -> None:
        for name in self._expected.constraints:
            known = _written(name, there)
            if known is None:
                self._miss(f"no constraint {name}", name, _others(there, self._expected.constraints))
            elif not there[known]:
                hint = f"In psql: ALTER TABLE {self._expected.name} VALIDATE CONSTRAINT {name}"
                self._note(f"the constraint {name} is not validated", hint)

    def _look_at_grants(self) -> None:
        asked = [(role, privilege) for role, privileges in self._expected.grants.items() for privilege in privileges]
        parameters = {
            "table": self._oid,
            "schema": self._schema,
            "roles": [role for role, _ in asked],
            "privileges": [privilege for _, privilege in asked],
        }
        lacking: dict[tuple[str, str | None], list[str]] = {}
        barred: dict[str, str] = {}
        for role, quoted, privilege, granted, may_enter in self._found.rows(_GRANTS, parameters):
            if not granted:
                lacking.setdefault((role, quoted), []).append(privilege)
            if may_enter is False:
                barred[role] = quoted
        for (role, quoted), privileges in lacking.items():
            if quoted is None:
                self._note(f"there is no role {role}", "Create it, or look at grants= in the inventory")
                continue
            these = ", ".join(privileges)
            self._note(f"{role} lacks {these}", f"In psql: GRANT {these} ON {self._expected.name} TO {quoted}")
        for role, quoted in barred.items():
            hint = f'In psql: GRANT USAGE ON SCHEMA "{self._schema}" TO {quoted}'
            self._note(f"{role} may not use the schema {self._schema}", hint)

    def _miss(self, what: str, name: str, there: Mapping[str, str]) -> None:
        """Something is not there; another one of nearly that name may be what is meant."""
        alike = {_plain(one): one for one in there}
        close = get_close_matches(_plain(name), alike, n=1, cutoff=_CLOSE)
        if not close:
            self._note(what, _DRIFT)
            return
        meant = there[alike[close[0]]]
        quoted = meant if meant.startswith('"') or meant == meant.lower() else f'"{meant}"'
        self._note(what, f"Did you mean {meant}? " + (f"In SQL that is {quoted}" if quoted != meant else ""))

    def _note(self, wrong: str, hint: str) -> None:
        self.wrong.append(wrong)
        self.hints.append(hint.strip())


def _written(name: str, there: Iterable[str]) -> str | None:
    """The one of that name, as it stands or as SQL reads it: in quotes to the letter, and else in lower case."""
    read = name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
    return next((one for one in (name, read) if one in there), None)


def _others(there: Iterable[str], expected: Iterable[str]) -> dict[str, str]:
    """What is there beside what is expected: that is not called otherwise by mistake."""
    return {one: one for one in there if one not in expected}


def _plain(name: str) -> str:
    """A name without what people mistake: createdAt is created_at."""
    return re.sub(r'[_" ]', "", name).lower()


def _modifiers(type: str) -> str:
    """What stands in brackets."""
    return re.sub(r"\s", "", "".join(re.findall(r"\(.*?\)", type)))


def _counted(expected: Expected) -> str:
    """What is expected of a table, in a few words."""
    parts = {
        "column": len(expected.columns),
        "index": len(expected.indexes),
        "constraint": len(expected.constraints),
        "grant": sum(map(len, expected.grants.values())),
    }
    plural = {"index": "indexes"}
    words = [f"{n} {one if n == 1 else plural.get(one, f'{one}s')}" for one, n in parts.items() if n]
    return ", ".join(words) or "is there"
