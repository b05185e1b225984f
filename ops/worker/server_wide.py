"""What belongs to a whole server: a migration that changes it has changed production in its very rehearsal."""

from __future__ import annotations

import re

import psycopg

from ops.engines.base import Migration

_CHANGES = re.compile(
    r"\b((CREATE|ALTER|DROP)\s+(ROLE|USER(?!\s+MAPPING)|GROUP|DATABASE|TABLESPACE)|ALTER\s+SYSTEM|REASSIGN\s+OWNED)\b",
    re.IGNORECASE,
)
_NOT_SQL = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_STATE = """
    SELECT 'role ' || rolname, md5(row(rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
                                       rolbypassrls, rolconnlimit, rolvaliduntil)::text) FROM pg_roles
    UNION ALL
    SELECT 'membership of ' || member::regrole || ' in ' || roleid::regrole, '' FROM pg_auth_members
    UNION ALL
    SELECT 'settings of ' || coalesce(datname, 'all databases') || ' for ' ||
           coalesce(nullif(setrole, 0)::regrole::text, 'all roles'), setconfig::text
      FROM pg_db_role_setting LEFT JOIN pg_database ON pg_database.oid = setdatabase
     WHERE datname IS NULL OR datname NOT LIKE 'ops\\_%'
    UNION ALL
    SELECT 'tablespace ' || spcname, '' FROM pg_tablespace
"""


def statement(migration: Migration) -> str | None:
    """The words of the first statement of a migration that changes the whole server; None when there is none."""
    found = _CHANGES.search(_NOT_SQL.sub(" ", migration.sql))
    return " ".join(found[0].upper().split()) if found else None


def state(connection: psycopg.Connection) -> dict[str, str]:
    """Roles, memberships, settings and tablespaces of a server, by name, as far as they may be seen."""
    return {str(name): str(value) for name, value in connection.execute(_STATE.encode())}
