"""How a database is, in one look. Only reads.

All by one connection, and so one thing after another: when connections have run out, there may be no second one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg.rows import dict_row

from ops.parts import look
from ops.probes.reading import reading, spoken
from ops.worker import activity
from ops.worker.connection import legible
from ops.worker.request import Request
from ops.worker.slow import slow
from ops.worker.upkeep import indexes, wanting

TIME = 30.0
"""Seconds that all of it may take."""
_LIMITS = "SELECT set_config('statement_timeout', '5s', false), set_config('lock_timeout', '1s', false)"
_SERVER = "SELECT current_setting('server_version') AS version, current_database()::text AS database"


def run(request: Request) -> dict[str, Any]:
    """Each part as it was seen.

    Raises:
        DatabaseError: the database cannot be looked at.
    """
    assert request.database is not None
    with reading(request.database, TIME) as found:
        legible(found.connection)
        cursor = found.connection.cursor(row_factory=dict_row)
        cursor.execute(_LIMITS)

        def seen(at: Callable[[], Any]) -> dict[str, Any]:
            def asked() -> Any:
                with spoken():
                    return at()

            return look(asked).to_json()

        return {
            "server": cursor.execute(_SERVER).fetchone(),
            "connections": seen(lambda: activity.connections(cursor)),
            "blocked": seen(lambda: activity.blocked(cursor)),
            "statements": seen(lambda: slow(cursor, request.slow)),
            "tables": seen(lambda: wanting(cursor)),
            "indexes": seen(lambda: indexes(cursor)),
        }
