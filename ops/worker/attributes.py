"""What belongs to a database as a whole, which no dump of it holds: owner, grants, settings, comment, limits."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from ops.worker.connection import failure

_MARKED = re.compile(r" ?\[pyinfra-ops (\{.*\})\]$")
"""The end of a comment by which our own databases are known: settings of our own a plain owner may not make."""
# Settings that hold lists of names, each quoted on its own (GUC_LIST_QUOTE in PostgreSQL's guc_tables.c).
_LISTS = {
    "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
    "temp_tablespaces", "unix_socket_directories",
}  # fmt: skip
_WHOLE = """
    SELECT pg_get_userbyid(datdba), datconnlimit, datacl IS NOT NULL, spcname
      FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = %s
"""
_GRANTS = """
    SELECT CASE WHEN acl.grantee <> 0 THEN pg_get_userbyid(acl.grantee) END, acl.privilege_type, acl.is_grantable
      FROM pg_database d, aclexplode(d.datacl) acl WHERE d.datname = %s AND acl.grantee <> d.datdba
"""
_SETTINGS = """
    SELECT r.rolname, split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1)
      FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
           LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS entry
     WHERE d.datname = %s ORDER BY r.rolname NULLS FIRST
"""


@dataclass(frozen=True)
class Setting:
    """``ALTER DATABASE … SET``, or ``ALTER ROLE … IN DATABASE … SET``.

    Args:
        name: of the setting.
        value: as PostgreSQL keeps it.
        role: for which alone; None: for all.
    """

    name: str
    value: str
    role: str | None = None

    def statement(self, database: str) -> sql.Composed:
        """The statement that makes it so for a database."""
        whom = sql.SQL("DATABASE {}").format(sql.Identifier(database))
        if self.role is not None:
            whom = sql.SQL("ROLE {} IN ").format(sql.Identifier(self.role)) + whom
        name = sql.SQL(".").join(map(sql.Identifier, self.name.split(".")))
        values = [self.value]
        if self.name in _LISTS:
            found = re.findall(r'"((?:[^"]|"")*)"|([^,\s]+)', self.value)
            values = [quoted.replace('""', '"') or plain for quoted, plain in found] or [""]
        listed = sql.SQL(", ").join(map(sql.Literal, values))
        return sql.SQL("ALTER {} SET {} TO {}").format(whom, name, listed)


@dataclass(frozen=True)
class Attributes:
    """Those of one database.

    Args:
        owner: a role's name.
        limit: of connections; -1: none.
        comment: without what we wrote down in it.
        tablespace: where it is, which is not given to another: that takes as long as a copy.
        grants: grantee (None: PUBLIC), privilege, whether it may be granted on; None: as PostgreSQL makes them.
        settings: for all roles and for single ones.
    """

    owner: str
    limit: int
    comment: str
    tablespace: str
    grants: tuple[tuple[str | None, str, bool], ...] | None = None
    settings: tuple[Setting, ...] = field(default=())

    @classmethod
    def of(cls, connection: psycopg.Connection, database: str) -> Attributes:
        """Look at a database of the server that the connection leads to."""
        row = connection.execute(_WHOLE, [database]).fetchone()
        assert row is not None
        owner, limit, granted, tablespace = row
        grants = tuple((grantee, what, on) for grantee, what, on in connection.execute(_GRANTS, [database]))
        settings = tuple(Setting(what, value, role) for role, what, value in connection.execute(_SETTINGS, [database]))
        return cls(owner, limit, _commented(connection, database)[0], tablespace, grants if granted else None, settings)

    def give(self, connection: psycopg.Connection, database: str) -> list[str]:
        """Give them to another database; the settings that could not be given, in words.

        Raises:
            DatabaseError: the owner or a grant could not be given.
        """
        name = sql.Identifier(database)
        try:
            if self.grants is not None:
                connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
                for grantee, privilege, on in self.grants:
                    to = sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee)
                    grant = sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(privilege), name, to)
                    connection.execute(grant + sql.SQL(" WITH GRANT OPTION" if on else ""))
            connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(self.limit)))
            _comment(connection, database, self.comment, marks(connection, database))
            left = [wrong for one in self.settings if (wrong := _give(connection, database, one))]
            now = connection.execute(_WHOLE, [database]).fetchone()
            if now is not None and now[3] != self.tablespace:
                left.append(f"{database} is in the tablespace {now[3]}, and what it replaces in {self.tablespace}")
            # The last, because it may take the right to do the others away.
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(self.owner)))
        except psycopg.Error as error:
            raise failure(error) from None
        return left


def exists(connection: psycopg.Connection, database: str) -> bool:
    """Whether the server has a database of this name."""
    return connection.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone() is not None


def beginning(connection: psycopg.Connection, start: str) -> list[str]:
    """The databases whose names begin so, the last one first: the newest, where what follows is a time."""
    query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY datname DESC"
    return [str(found) for (found,) in connection.execute(query, [start])]


def mark(connection: psycopg.Connection, database: str, **told: str) -> None:
    """Write down something about a database, at the end of its comment."""
    comment, known = _commented(connection, database)
    _comment(connection, database, comment, {**known, **told})


def marks(connection: psycopg.Connection, database: str) -> dict[str, str]:
    """What was written down about a database; empty when it is none of ours, or there is none."""
    return _commented(connection, database)[1]


def _commented(connection: psycopg.Connection, database: str) -> tuple[str, dict[str, str]]:
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
    row = connection.execute(query, [database]).fetchone()
    comment = str(row[0] or "") if row else ""
    found = _MARKED.search(comment)
    try:
        return (comment[: found.start()], dict(json.loads(found[1]))) if found else (comment, {})
    except (ValueError, TypeError):
        return comment, {}  # it is somebody else's


def _comment(connection: psycopg.Connection, database: str, comment: str, known: dict[str, str]) -> None:
    text = f"{comment} [pyinfra-ops {json.dumps(known)}]".strip() if known else comment
    comment_on = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), sql.Literal(text or None))
    connection.execute(comment_on)


def _give(connection: psycopg.Connection, database: str, setting: Setting) -> str | None:
    try:
        connection.execute(setting.statement(database))
    except psycopg.Error as error:
        whose = f" of {setting.role}" if setting.role else ""
        return f"the setting {setting.name}{whose} could not be carried over: {failure(error).problem}"
    return None
