"""The end of a refresh that holds: what the refresh before the last one had kept goes, since one way back is enough."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from ops.lock import Lock
from ops.stores import open_store
from ops.worker.attributes import exists, mark, marks
from ops.worker.beside import LOCK
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect
from ops.worker.progress import say
from ops.worker.request import Request
from ops.worker.restore import drop


def run(request: Request) -> dict[str, Any]:
    """Drop what was kept by the refresh that made the database which the last refresh has replaced, and write down that
    the last one holds.

    Raises:
        DatabaseError: one of them is in use.
    """
    assert request.database is not None
    store = open_store(request.store)
    prefix = Catalogue(store, request.environment, request.database_name).prefix
    with Lock(store, prefix + LOCK, request.owner, "dropping what refreshes kept"):
        with closing(connect(request.database)) as connection:
            here = marks(connection, request.database.name())
            replaced = marks(connection, here.get("before", "")) if "masked" in here else {}
            names = [replaced[what] for what in ("before", "undone") if "masked" in replaced and what in replaced]
            there = [name for name in names if exists(connection, name)]
            if "masked" in here:
                mark(connection, request.database.name(), holds="yes")
        for name in there:
            say(f"dropping {name}, which an earlier refresh had kept")
            drop(request.database, name)
    return {"changed": bool(there), "dropped": there}
