"""The end of a refresh that holds: what the refresh before the last one had kept goes, since one way back is enough."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from ops.lock import Lock
from ops.stores import open_store
from ops.worker.attributes import beginning, exists, mark, marks
from ops.worker.beside import LOCK
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect
from ops.worker.drill import scratch_name
from ops.worker.progress import say
from ops.worker.refresh import SCRATCH
from ops.worker.request import Request
from ops.worker.restore import drop


def run(request: Request) -> dict[str, Any]:
    """Write down that the last refresh holds, and drop what was kept by the one before it, what did not hold and was
    swapped back, and originals that a killed run has left.

    Raises:
        DatabaseError: one of them is in use.
    """
    assert request.database is not None and request.refresh is not None
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    scratch = (request.refresh.scratch or request.database).plain()
    with Lock(store, catalogue.prefix + LOCK, request.owner, "dropping what refreshes kept"):
        name = request.database.name()
        with closing(connect(request.database)) as connection:
            here = marks(connection, name)
            replaced = marks(connection, here.get("before", "")) if "masked" in here else {}
            names = [replaced[what] for what in ("before", "undone") if "masked" in replaced and what in replaced]
            if "masked" in here:
                names += [one for one in beginning(connection, f"{name}_undone_") if "masked" in marks(connection, one)]
                mark(connection, name, holds="yes")
            there = [one for one in dict.fromkeys(names) if exists(connection, one)]
        for one in there:
            say(f"dropping {one}: one way back is enough")
            drop(request.database, one)
        left = scratch_name(catalogue, SCRATCH)
        with closing(connect(scratch)) as connection:
            found = exists(connection, left)
        if found:
            say(f"dropping {left}, in which a killed run had left what is not masked")
            drop(scratch, left)
            there.append(left)
    return {"changed": bool(there), "dropped": there}
