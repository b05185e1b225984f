"""Who may do what in a database: carried over by name to the one that takes its place."""

from __future__ import annotations

from contextlib import closing

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.worker.connection import connect, failure
from ops.worker.pulse import Pulse

# Of what was granted to others than the owner; each as GRANT's own words.
_GRANTS = """
    WITH granted AS (
      SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
             format('%I.%I', n.nspname, c.relname) AS name, c.relowner AS owner, acl.*
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) acl
       WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      UNION ALL
      SELECT 'SCHEMA', quote_ident(n.nspname), n.nspowner, acl.* FROM pg_namespace n, aclexplode(n.nspacl) acl
       WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    )
    SELECT kind, name, privilege_type, CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END, is_grantable
      FROM granted WHERE grantee <> owner ORDER BY kind, name
"""
_THERE = "SELECT CASE %(kind)s WHEN 'SCHEMA' THEN to_regnamespace(%(name)s)::oid ELSE to_regclass(%(name)s)::oid END"


def carry_over(database: Postgres, target: Postgres, pulse: Pulse) -> list[str]:
    """Grant in the new database what is granted in the old one on what is called the same; what could not be, in words.

    Args:
        database: the old one; only read.
        target: the new one.
        pulse: cuts what does not move.
    """
    left = []
    with closing(connect(database, watched=pulse.cuts)) as old, closing(connect(target, watched=pulse.cuts)) as new:
        for kind, name, privilege, grantee, on in old.execute(_GRANTS).fetchall():
            if new.execute(_THERE, {"kind": kind, "name": name}).fetchone() == (None,):
                continue
            to = sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee)
            grant = sql.SQL("GRANT {} ON {} {} TO {}{}").format(
                *map(sql.SQL, (privilege, kind, name)), to, sql.SQL(" WITH GRANT OPTION" if on else "")
            )
            try:
                new.execute(grant)
            except psycopg.Error as error:
                left.append(f"{privilege} on {name} for {grantee or 'everybody'}: {failure(error).problem}")
    return left
