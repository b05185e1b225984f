"""What is counted and described in the snapshot while pg_dump runs."""

from __future__ import annotations

import time

import psycopg

from ops.database import Postgres
from ops.worker.connection import failure, sever
from ops.worker.fingerprint import fingerprint
from ops.worker.pulse import Pulse
from ops.worker.rows import Name, count, large_objects
from ops.worker.snapshot import Snapshot


class Census:
    """Exact rows and the fingerprint, on the connection that holds the snapshot.

    It has every table locked already. Another one would queue behind whoever waits to alter a table, who in turn waits
    for the end of this backup.

    Args:
        database: where it is.
        snapshot: what is counted in.
        connection: that holds the snapshot; nobody else may use it meanwhile.
        pulse: told of every table.
    """

    def __init__(self, database: Postgres, snapshot: Snapshot, connection: psycopg.Connection, pulse: Pulse) -> None:
        self._database = database
        self._snapshot = snapshot
        self._pulse = pulse
        self._connection = connection
        self._counted = 0
        self.seconds = 0.0
        self.rows: dict[Name, int] = {}
        self.large_objects = 0
        self.fingerprint: dict[str, str] = {}

    def take(self) -> None:
        """Count and describe.

        Raises:
            OpsError: one line.
        """
        began = time.monotonic()
        try:
            self.rows = count(self._connection, self._snapshot.tables, self._tick)
            self.large_objects = large_objects(self._connection)
            self.fingerprint = fingerprint(self._connection)
        except psycopg.Error as error:
            raise failure(error, self._database.parameters()) from None
        self.seconds = time.monotonic() - began

    def cut(self) -> None:
        """End it from another thread."""
        sever(self._connection)

    def _tick(self, name: Name) -> None:
        self._counted += 1
        self._pulse.beat()

    def __str__(self) -> str:
        return f"counted {self._counted} of {len(self._snapshot.tables)} tables"
