"""Who keeps others waiting for a lock, seen by a second connection."""

from __future__ import annotations

from ops.database import Postgres
from ops.worker.watch import Watch

_BLOCKERS = """
    SELECT DISTINCT format('process %s (%s, %s) since %s: %s', b.pid, b.usename, nullif(b.application_name, ''),
                           to_char(b.xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS'), left(b.query, 80))
      FROM pg_stat_activity a CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) AS p(pid)
      JOIN pg_stat_activity b ON b.pid = p.pid
     WHERE a.datname = current_database()
"""


class Blockers(Watch):
    """Looks while the block runs.

    Args:
        database: the one in which somebody waits.
    """

    def __init__(self, database: Postgres) -> None:
        super().__init__(0.2, database)
        self.seen = ""
        """Who held the locks last, in words; empty when nobody waited."""

    def look(self) -> None:
        """See ``Watch``."""
        if found := [str(who) for (who,) in self.connection.execute(_BLOCKERS)]:
            self.seen = "; ".join(found[:3])
