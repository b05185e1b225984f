"""Remove the backups that no retention rule keeps."""

from __future__ import annotations

from typing import Any

from ops.lock import Lock, holder
from ops.stores import open_store
from ops.worker.catalogue import BACKUP_LOCK, DRILL_LOCK, Catalogue
from ops.worker.progress import say
from ops.worker.request import Request
from ops.worker.retention import plan


def run(request: Request) -> dict[str, Any]:
    """Judge anew under the lock, then remove: the manifest first, so that a killed run leaves no half backup listed."""
    assert request.retention is not None
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    with Lock(store, catalogue.prefix + BACKUP_LOCK, request.owner, "a prune") as lock:
        drilling = holder(store, catalogue.prefix + DRILL_LOCK)
        verdicts = plan(catalogue.all(), request.retention, drilling.get("backup") if drilling else None)
        going = [verdict for verdict in verdicts if not verdict.keep]
        for verdict in going:
            lock.confirm()
            say(f"removing {verdict.id}: {verdict.why}")
            manifest, *others = catalogue.files(verdict.id)
            store.delete([manifest])
            store.delete(others)
    return {"removed": [verdict.id for verdict in going]}
