"""Facts about how the database is."""

from __future__ import annotations

from ops.facts.asked import WorkerFact


class DatabasePicture(WorkerFact):
    """How the database is, each part with what was ``found``, or why it is ``unknown``.

    .. code:: python

        {
            "server": {"version": "17.10", "database": "shop"},
            "connections": {"found": {"used": 13, "limit": 97, …}, "unknown": "", "hint": ""},
            "blocked": …, "statements": …, "tables": …, "indexes": …,
        }
    """

    verb = "triage"
