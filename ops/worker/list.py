"""Which backups there are, and what retention would do with them. Reads only documents."""

from __future__ import annotations

from typing import Any

from ops.lock import holder
from ops.stores import open_store
from ops.worker.catalogue import BACKUP_LOCK, DRILL_LOCK, Catalogue
from ops.worker.request import Request
from ops.worker.retention import plan


def run(request: Request) -> dict[str, Any]:
    """Every backup, newest first, each with retention's verdict; who holds which lock; what killed runs left."""
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    backups = catalogue.all()
    drilling = holder(store, catalogue.prefix + DRILL_LOCK)
    verdicts = {}
    if request.retention is not None:
        in_use = drilling.get("backup") if drilling else None
        verdicts = {verdict.id: verdict for verdict in plan(backups, request.retention, in_use)}
    return {
        "location": store.location,
        "backups": [
            {
                **backup.to_json(),
                **({"keep": verdicts[backup.id].keep, "why": verdicts[backup.id].why} if verdicts else {}),
            }
            for backup in backups
        ],
        "unfinished": catalogue.unfinished(),
        "backup_lock": holder(store, catalogue.prefix + BACKUP_LOCK),
        "drill_lock": drilling,
    }
