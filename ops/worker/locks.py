"""The locks that migrations take, seen by a second connection that looks at ``pg_locks`` again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, get_args

from ops.database import Postgres
from ops.migrations import LockMode
from ops.worker.watch import Watch

STRENGTH: dict[str, int] = {mode: strength for strength, mode in enumerate(get_args(LockMode))}
INTERVAL = 0.005
"""Seconds between two looks: what is held for less may be missed."""
_TABLES = """
    SELECT c.oid, n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_LOCKS = """
    SELECT relation, mode FROM pg_locks
     WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid() AND relation = ANY (%s)
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass
class Held:
    """A lock on a table that was there before.

    Args:
        table: its name.
        mode: PostgreSQL's name of the lock.
        began: when it was first seen, ``time.monotonic``.
        ended: when it was last seen.
    """

    table: str
    mode: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """For how long, to within one look."""
        return self.ended - self.began + INTERVAL

    def to_json(self) -> dict[str, Any]:
        """As the worker's answer carries it."""
        return {"table": self.table, "mode": self.mode, "seconds": round(self.seconds, 3)}


class LockWatch(Watch):
    """Looks while the block runs.

    Args:
        server: where.
        database: whose tables; those that are made meanwhile do not count, for nobody else uses them.
    """

    def __init__(self, server: Postgres, database: str) -> None:
        super().__init__(INTERVAL, server, database)
        self._names: dict[int, str] = dict(self.connection.execute(_TABLES).fetchall())
        self._oids = list(self._names)
        self._held: list[Held] = []
        self._open: dict[tuple[int, str], Held] = {}

    def look(self) -> None:
        """See ``Watch``."""
        now = time.monotonic()
        seen = set(self.connection.execute(_LOCKS, [self._oids]).fetchall())
        for oid, mode in seen:
            held = self._open.get((oid, mode))
            if held is None:
                held = self._open[oid, mode] = Held(self._names[oid], mode, now, now)
                self._held.append(held)
            held.ended = now
        self._open = {key: held for key, held in self._open.items() if key in seen}

    def longest(self) -> list[Held]:
        """For each table and each mode the longest time that it was held, the strongest first."""
        found: dict[tuple[str, str], Held] = {}
        for held in self._held:
            known = found.get((held.table, held.mode))
            if known is None or held.seconds > known.seconds:
                found[held.table, held.mode] = held
        return sorted(found.values(), key=lambda held: (-STRENGTH[held.mode], -held.seconds, held.table))
