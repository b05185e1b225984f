"""Who may do what in a database: carried over by name to the one that takes its place."""

from __future__ import annotations

from contextlib import closing

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.worker import owners
from ops.worker.attributes import Attributes
from ops.worker.connection import connect, failure
from ops.worker.owners import Grant, Object
from ops.worker.pulse import Pulse

_KINDS = {
    "VIEW": "TABLE",
    "MATERIALIZED VIEW": "TABLE",
    "FOREIGN TABLE": "TABLE",
    "AGGREGATE": "FUNCTION",
    "DOMAIN": "TYPE",
}
"""What ``GRANT`` calls what ``ALTER`` calls otherwise."""
_OPEN = ("SCHEMA", "FUNCTION", "PROCEDURE", "TYPE")
"""The kinds of which everybody may do something, unless it is taken away."""
_COLUMNS = """
    SELECT format('%I.%I', n.nspname, c.relname), a.attname, acl.privilege_type,
           CASE WHEN acl.grantee <> 0 THEN pg_get_userbyid(acl.grantee) END, acl.is_grantable
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
           aclexplode(a.attacl) acl
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND acl.grantee <> c.relowner
       AND NOT a.attisdropped ORDER BY 1, 2
"""
_DEFAULTS = """
    SELECT pg_get_userbyid(d.defaclrole), n.nspname,
           CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END,
           acl.privilege_type, CASE WHEN acl.grantee <> 0 THEN pg_get_userbyid(acl.grantee) END, acl.is_grantable
      FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) acl
     WHERE acl.grantee <> d.defaclrole AND d.defaclobjtype IN ('r', 'S', 'f', 'T', 'n') ORDER BY 1, 2, 3
"""


def carry_over(database: Postgres, target: Postgres, pulse: Pulse) -> list[str]:
    """Give what is in the new database to the owners that the old one has for what is called the same, and grant there
    what is granted here; what could not be, in words.

    Args:
        database: the old one; only read.
        target: the new one.
        pulse: cuts what does not move.
    """
    with closing(connect(database, watched=pulse.cuts)) as old, closing(connect(target, watched=pulse.cuts)) as new:
        left = owners.carry_over(old, new, Attributes.of(old, database.name()).owner)
        return left + _Granting(old, new).all()


class _Granting:
    """From one database to another."""

    def __init__(self, old: psycopg.Connection, new: psycopg.Connection) -> None:
        self._old = old
        self._new = new
        self._left: list[str] = []

    def all(self) -> list[str]:
        """What could not be granted, in words."""
        known, there = owners.objects(self._old), owners.objects(self._new)
        for key, one in known.items():
            if key in there and one.grants is not None:
                self._object(one, one.grants)
        for key, one in there.items():
            if one.powerful and key not in known:
                # Whoever may run it has the rights of its owner.
                self._close(one)
                self._left.append(f"{one.name} runs with the rights of its owner and is new: only he may run it")
        for table, column, what, whom, on in self._old.execute(_COLUMNS).fetchall():
            if any((kind, table) in there for kind in ("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE")):
                place = sql.SQL("({}) ON TABLE {}").format(sql.Identifier(column), sql.SQL(table))
                self._do(_grant(sql.SQL(what + " ") + place, whom, on), f"{what} on {table}.{column} for {_of(whom)}")
        for role, schema, kind, what, whom, on in self._old.execute(_DEFAULTS).fetchall():
            within = sql.SQL(" IN SCHEMA {}").format(sql.Identifier(schema)) if schema else sql.SQL("")
            alter = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} ").format(sql.Identifier(role), within)
            grant = _grant(sql.SQL(f"{what} ON {kind}"), whom, on)
            self._do(alter + grant, f"{what} on new {kind.lower()} of {role} for {_of(whom)}")
        return self._left

    def _object(self, one: Object, grants: tuple[Grant, ...]) -> None:
        if _KINDS.get(one.kind, one.kind) in _OPEN:
            self._close(one)
        for what, whom, on in grants:
            grant = _grant(sql.SQL("{} ON {}").format(sql.SQL(what), _spelled(one)), whom, on)
            self._do(grant, f"{what} on {one.name} for {_of(whom)}")

    def _close(self, one: Object) -> None:
        """Take from everybody what PostgreSQL gives them."""
        self._do(sql.SQL("REVOKE ALL ON {} FROM PUBLIC").format(_spelled(one)), f"everybody off {one.name}")

    def _do(self, statement: sql.Composed, words: str) -> None:
        try:
            self._new.execute(statement)
        except psycopg.Error as error:
            self._left.append(f"{words}: {failure(error).problem}")


def _spelled(one: Object) -> sql.Composable:
    return sql.SQL(f"{_KINDS.get(one.kind, one.kind)} {one.name}")


def _grant(what: sql.Composable, whom: str | None, on: bool) -> sql.Composed:
    to = sql.SQL("PUBLIC") if whom is None else sql.Identifier(whom)
    return sql.SQL("GRANT {} TO {}{}").format(what, to, sql.SQL(" WITH GRANT OPTION" if on else ""))


def _of(whom: str | None) -> str:
    return whom or "everybody"
