"""Facts about backups."""

from __future__ import annotations

from ops.facts.asked import WorkerFact


class Backups(WorkerFact):
    """Every backup of the environment's database, newest first, and who holds the locks.

    .. code:: python

        {
            "location": "s3://shop-backups/prod",
            "backups": [{"id": "2026-11-21T10-00-00Z", "state": "proven", "age": 3600.0, "size": 274000000,
                         "tables": 12, "rows": 200000, "proven": "2026-11-21T10:04:00Z", "restore_seconds": 41.2,
                         "problems": [], "keep": True, "why": "newest 1 of 3"}],
            "unfinished": {},
            "backup_lock": None,
            "drill_lock": None,
        }
    """

    verb = "list"
