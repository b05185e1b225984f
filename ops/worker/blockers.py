"""Who keeps others waiting for a lock, seen by a second connection."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from types import TracebackType
from typing import Self

import psycopg

from ops.environment import Postgres
from ops.worker.connection import connect

_BLOCKERS = """
    SELECT DISTINCT format('process %s (%s, %s) since %s: %s', b.pid, b.usename, nullif(b.application_name, ''),
                           to_char(b.xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS'), left(b.query, 80))
      FROM pg_stat_activity a CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) AS p(pid)
      JOIN pg_stat_activity b ON b.pid = p.pid
     WHERE a.datname = current_database()
"""


class Blockers:
    """Looks while the block runs.

    Args:
        database: the one in which somebody waits.
    """

    def __init__(self, database: Postgres) -> None:
        self.seen = ""
        """Who held the locks last, in words; empty when nobody waited."""
        self._connection = connect(database)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="blockers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        with suppress(psycopg.Error), closing(self._connection) as connection:
            while not self._over.wait(0.2):
                if found := [str(who) for (who,) in connection.execute(_BLOCKERS)]:
                    self.seen = "; ".join(found[:3])
