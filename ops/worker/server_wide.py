"""What belongs to a whole server: a migration that changes it has changed production in its very rehearsal."""

from __future__ import annotations

import re
from collections.abc import Iterable

import psycopg

from ops.engines.base import Migration
from ops.errors import MigrationRefused

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
    """The words of the first statement of a migration, or of its way back, that changes the whole server, or None."""
    found = _CHANGES.search(_NOT_SQL.sub(" ", f"{migration.sql};\n{migration.way_back}"))
    return " ".join(found[0].upper().split()) if found else None


def refuse(migrations: Iterable[Migration]) -> None:
    """On production's own server a rehearsal of it would be the thing itself.

    Raises:
        MigrationRefused: one of them changes the whole server.
    """
    for migration in migrations:
        if words := statement(migration):
            raise MigrationRefused(
                f"{migration.id} has {words}, which changes the whole server and cannot be rehearsed beside production",
                "Do that by hand, or name another server to rehearse on: Drill(server=Postgres(…))",
            )


def state(connection: psycopg.Connection) -> dict[str, str]:
    """Roles, memberships, settings and tablespaces of a server, by name, as far as they may be seen."""
    return {str(name): str(value) for name, value in connection.execute(_STATE.encode())}
