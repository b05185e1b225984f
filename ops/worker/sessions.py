"""Who is connected to a database, and whether we may end it."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from ops.worker.connection import APPLICATION

ENDABLE = """
    ((coalesce(pg_has_role(a.usesysid, 'USAGE'), false) OR pg_has_role('pg_signal_backend', 'USAGE'))
        AND NOT coalesce(r.rolsuper, true))
      OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
"""
"""What pg_terminate_backend asks for (PostgreSQL's documentation, 9.28.2), of ``pg_stat_activity a`` and its role's
row ``pg_roles r``. Of whom it refuses, some columns are hidden."""

# Autovacuum has no role, and gives way to a rename by itself.
_SESSIONS = f"""
    SELECT a.pid, coalesce(a.usename, a.backend_type), a.application_name, coalesce(host(a.client_addr), 'somewhere'),
           coalesce(a.state, 'at work'), {ENDABLE}
      FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
     WHERE a.datname = %s AND a.pid <> pg_backend_pid() AND a.application_name <> %s
       AND (a.usesysid IS NOT NULL OR a.backend_type = 'walsender')
       AND coalesce(a.backend_type, '') <> 'parallel worker'
     ORDER BY a.backend_start
"""


@dataclass(frozen=True)
class Session:
    """A connection to the database.

    Args:
        pid: of the server's process.
        user: the role, or what kind of process it is.
        application: as it calls itself.
        address: where it comes from.
        state: what it does.
        endable: whether our role may end it.
    """

    pid: int
    user: str
    application: str
    address: str
    state: str
    endable: bool

    def __str__(self) -> str:
        return f"{self.user}{f' ({self.application})' if self.application else ''} from {self.address}, {self.state}"


def sessions(connection: psycopg.Connection, database: str) -> list[Session]:
    """Everybody who is connected to a database but us, the oldest first."""
    return [Session(*row) for row in connection.execute(_SESSIONS, [database, APPLICATION])]
