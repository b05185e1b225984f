"""Swap a restored database in by rename, in one short transaction; the one that was there is kept.

While the transaction holds the lock on the database's name, who connects waits; who was connected is ended. So nobody
can write between the last look and the swap, and whatever ends it, one of the two serves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql

from ops import clock
from ops.database import Postgres
from ops.errors import DatabaseError, LockHeld, OpsError
from ops.lock import Lock
from ops.stores import open_store
from ops.worker.attributes import beginning, exists, mark, marks
from ops.worker.beside import LOCK, beside
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect, failure
from ops.worker.progress import say
from ops.worker.request import Request
from ops.worker.sessions import sessions

WINDOW = 4.0
"""Seconds for which others may be kept waiting; then it is given up, and all is as before."""
_PAUSE = 0.02
_PATIENCE = 5.0
"""Seconds for which a session that we may not end may take to end by itself."""
_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = %s AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
"""


def run(request: Request) -> dict[str, Any]:
    """Swap ``<database>_restored`` in, or with ``undo`` what was there before; nothing to do is no change.

    Raises:
        DatabaseError: it could not be done; all is as before.
    """
    assert request.database is not None
    store = open_store(request.store)
    prefix = Catalogue(store, request.environment, request.database_name).prefix
    with Lock(store, prefix + LOCK, request.owner, "a swap of databases"):
        return _undo(request.database, request.look) if request.undo else _swap_in(request.database)


def _swap_in(database: Postgres) -> dict[str, Any]:
    name, incoming = database.name(), beside(database)
    with _elsewhere(database) as connection:
        known = marks(connection, incoming)
        if "proven" not in known:
            here = marks(connection, name)
            if "restored" in here:
                return {"changed": False, "restored": here["restored"], "kept": here.get("before")}
            raise DatabaseError(
                f"there is no restored database {incoming} to swap in", "Restore a backup first: deploys/restore.py"
            )
        kept = _free(connection, f"{name}_before")
        seconds = _exchange(database, connection, name, incoming, kept, {"before": kept})
    return {"changed": True, "restored": known["restored"], "kept": kept, "window": seconds}


def _undo(database: Postgres, look: bool) -> dict[str, Any]:
    name = database.name()
    with _elsewhere(database) as connection:
        known = marks(connection, name)
        before = known.get("before")
        if before is None and (lost := beginning(connection, f"{name}_before_")):
            raise DatabaseError(
                f"the comment on {name} does not say any more what it replaced; there are: {', '.join(lost)}",
                "Rename the one that is meant by hand, or restore a backup",
            )
        # What came back by an undo may itself have been restored, long ago: that is not what is meant.
        if before is None or "undone" in known:
            return {"changed": False}
        if not exists(connection, before):
            raise DatabaseError(
                f"{before}, which {name} replaced, is not there any more", "Restore a backup: deploys/restore.py"
            )
        if look:
            return {"changed": True, "back": before}
        kept = _free(connection, f"{name}_undone")
        seconds = _exchange(database, connection, name, before, kept, {"undone": kept})
    return {"changed": True, "back": before, "kept": kept, "window": seconds}


def _exchange(
    database: Postgres, connection: psycopg.Connection, name: str, incoming: str, kept: str, told: dict[str, str]
) -> float:
    """Let ``incoming`` be called ``name``, and what was so called ``kept``; the seconds for which others waited."""
    deadline = time.monotonic() + _PATIENCE
    while (held := [one for one in sessions(connection, name) if not one.endable]) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    if held:
        raise DatabaseError(
            f"{name} is held open by what this role may not end: {'; '.join(map(str, held[:3]))}",
            "End them yourself, or GRANT pg_signal_backend to this role",
        )
    for one in sessions(connection, name):
        say(f"ending {one}")
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    began = time.monotonic()
    try:
        with _ending(database, [name, incoming]), connection.transaction():
            connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{WINDOW * 1000:.0f}ms"])
            connection.execute(rename.format(sql.Identifier(name), sql.Identifier(kept)))
            connection.execute(rename.format(sql.Identifier(incoming), sql.Identifier(name)))
            mark(connection, name, **told)
    except (psycopg.errors.ObjectInUse, psycopg.errors.QueryCanceled) as error:
        raise LockHeld(
            f"{name} was not swapped, because it is held open: {failure(error).problem}", "All is as before; look at it"
        ) from None
    except psycopg.Error as error:
        raise failure(error, database.parameters()) from None
    seconds = round(time.monotonic() - began, 3)
    say(f"{incoming} is {name} now, and what was so called is kept as {kept}; others waited {seconds:g} s at most")
    return seconds


@contextmanager
def _ending(database: Postgres, names: list[str]) -> Iterator[None]:
    """Meanwhile, end whoever is connected to these databases; who comes now waits for the swap."""
    over = threading.Event()

    def end() -> None:
        with suppress(OpsError), _elsewhere(database) as connection:
            while not over.is_set():
                for name in names:
                    with suppress(psycopg.Error):
                        connection.execute(_END, [name])
                over.wait(_PAUSE)

    thread = threading.Thread(target=end, name="ending sessions", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _elsewhere(database: Postgres) -> Iterator[psycopg.Connection]:
    """Connected to the server, but not to the database."""
    problem: OpsError | None = None
    for name in ("postgres", "template1"):
        try:
            connection = connect(database, name)
        except DatabaseError as error:
            problem = problem or error
            continue
        with closing(connection):
            yield connection
            return
    assert problem is not None
    raise problem


def _free(connection: psycopg.Connection, stem: str) -> str:
    """A name with the time in it, that no database has."""
    while True:
        name = f"{stem}_{clock.now():%Y%m%dT%H%M%SZ}"
        if not exists(connection, name):
            return name
        time.sleep(0.2)
