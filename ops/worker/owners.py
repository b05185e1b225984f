"""Whose everything in a database is, and what others may do with it; owners go by name to what takes its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ops.worker.connection import failure


def _ours(namespace: str, catalog: str, oid: str) -> str:
    return (
        f"{namespace}.nspname !~ '^pg_' AND {namespace}.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM"
        f" pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} AND e.deptype = 'e')"
    )


# Kinds are ALTER's own words. A sequence that fills a column goes with its table.
_OBJECTS = f"""
    WITH found AS (
      SELECT 'SCHEMA' AS kind, quote_ident(n.nspname) AS name, n.nspowner AS owner, n.nspacl AS acl, false AS powerful
        FROM pg_namespace n WHERE {_ours("n", "pg_namespace", "n.oid")}
      UNION ALL
      SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                  WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
             format('%I.%I', n.nspname, c.relname), c.relowner, c.relacl, false
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
         AND {_ours("n", "pg_class", "c.oid")}
      UNION ALL
      SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END,
             format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
             p.proowner, p.proacl, p.prosecdef
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_ours("n", "pg_proc", "p.oid")}
      UNION ALL
      SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, format('%I.%I', n.nspname, t.typname),
             t.typowner, t.typacl, false
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
       WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND {_ours("n", "pg_type", "t.oid")}
    )
    SELECT kind, name, pg_get_userbyid(owner), powerful, acl IS NOT NULL,
           (SELECT json_agg(json_build_array(privilege_type,
                                             CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END, is_grantable))
              FROM aclexplode(acl) WHERE grantee <> owner)
      FROM found ORDER BY kind <> 'SCHEMA', kind, name
"""
_FILLING = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
       AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
"""
Grant = tuple[str, str | None, bool]
"""What, to whom (None: everybody), and whether he may grant it on."""


@dataclass(frozen=True)
class Object:
    """Something that has an owner.

    Args:
        kind: as ``ALTER`` calls it.
        name: as SQL.
        owner: a role.
        powerful: a function that runs with its owner's rights.
        grants: to others than the owner; None: as PostgreSQL makes them.
    """

    kind: str
    name: str
    owner: str
    powerful: bool
    grants: tuple[Grant, ...] | None


Objects = Mapping[tuple[str, str], Object]


def objects(connection: psycopg.Connection) -> Objects:
    """All that has an owner in a database, but for what belongs to extensions; schemas first."""
    connection.execute("SELECT set_config('search_path', '', false)")
    return {
        (kind, name): Object(
            kind, name, owner, powerful, tuple((what, whom, on) for what, whom, on in acl or ()) if given else None
        )
        for kind, name, owner, powerful, given, acl in connection.execute(_OBJECTS)
    }


def carry_over(old: psycopg.Connection, new: psycopg.Connection, usual: str) -> list[str]:
    """Give everything in the new database to whom it belongs in the old one; what could not be given, in words.

    Args:
        old: only read.
        new: the database that takes its place.
        usual: the role for what is not in the old one, and of which there is no other like it.
    """
    known = objects(old)
    owners = Counter(one.owner for one in known.values() if one.kind == "TABLE")
    usual = owners.most_common(1)[0][0] if owners else usual
    filling = {name for (name,) in new.execute(_FILLING)}
    left: Counter[str] = Counter()
    for key, one in objects(new).items():
        wanted = known[key].owner if key in known else usual
        if one.owner == wanted or (one.kind == "SEQUENCE" and one.name in filling):
            continue
        alter = sql.SQL("ALTER {} {} OWNER TO {}").format(sql.SQL(one.kind), sql.SQL(one.name), sql.Identifier(wanted))
        try:
            new.execute(alter)
        except psycopg.Error as error:
            left[f"to {wanted}: {failure(error).problem}"] += 1
    return [f"{count} objects could not be given {why}" for why, count in left.items()]
