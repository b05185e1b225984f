"""Restore a backup beside its database, on the same server, and prove it: what is swapped in later is complete."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg

from ops import clock
from ops.database import Postgres
from ops.errors import BackupDamaged, BackupMissing, ConfigurationError, DatabaseError
from ops.lock import Lock
from ops.stores import open_store
from ops.worker.attributes import Attributes, exists, mark, marks
from ops.worker.catalogue import DUMP, Backup, Catalogue, State
from ops.worker.check import intact
from ops.worker.connection import connect, failure
from ops.worker.progress import say
from ops.worker.proof import compared
from ops.worker.pulse import Pulse
from ops.worker.request import Request
from ops.worker.restore import LONGEST_NAME, created, drop, restore
from ops.worker.rows import tables

LOCK = "restore.lock"
_LONGEST_SUFFIX = "_undone_20261121T100000Z"


def run(request: Request) -> dict[str, Any]:
    """Restore a backup as ``<database>_restored``, with the database's owner, grants and settings, and prove it.

    One that a run before this one restored and proved is taken as it is; what a killed run left is dropped first.

    Raises:
        BackupDamaged: it differs from its manifest; the restored database is gone again.
        OpsError: it could not be carried out; the restored database is gone again.
    """
    assert request.database is not None
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    backup = proven(catalogue, request.backup)
    with Lock(store, catalogue.prefix + LOCK, request.owner, f"a restore of {backup.id}", backup.id) as lock:
        name = beside(request.database)
        if _is_there(request.database, name, backup):
            return {"changed": False, "backup": backup.to_json(), "database": name}
        seconds, left = _restored(catalogue, backup, request.database, name, request.jobs)
        lock.confirm()
    return {"changed": True, "backup": backup.to_json(), "database": name, "seconds": seconds, "not_carried_over": left}


def proven(catalogue: Catalogue, id: str | None, migration: str | None = None) -> Backup:
    """The backup of this id, or the newest proven one.

    Args:
        catalogue: of the backups.
        id: of one; None: the newest proven one.
        migration: the one that is to be the last applied in it; None: whichever.

    Raises:
        BackupMissing: there is none.
        BackupDamaged: it is not sound.
        ConfigurationError: nobody has proven it.
    """
    if id is None:
        for one in catalogue.sound():
            if one.state is State.PROVEN and (migration is None or _is_at(one, migration)):
                return one
        raise BackupMissing(
            f"no backup of {catalogue.environment}/{catalogue.database}"
            f"{f' that was taken at the migration {migration}' if migration else ''} is proven",
            f"Look at deploys/backups.py, then type: pyinfra {catalogue.environment} deploys/drill.py --data backup=ID",
        )
    backup = catalogue.load(id)
    if not backup.sound:
        raise BackupDamaged(f"the backup {id} is {backup.state}: {'; '.join(backup.problems)}", "Name another")
    if migration is not None and not _is_at(backup, migration):
        at = backup.manifest and backup.manifest.migration
        raise ConfigurationError(
            f"the backup {id} was taken at the migration {at or 'unknown'}, and {migration} is what is needed",
            "Name another, or none: the newest proven one that fits is taken",
        )
    if backup.state is not State.PROVEN:
        raise ConfigurationError(
            f"the backup {id} is not proven",
            f"Type: pyinfra {catalogue.environment} deploys/drill.py --data backup={id}",
        )
    return backup


def _is_at(backup: Backup, migration: str) -> bool:
    return backup.manifest is not None and backup.manifest.migration == migration


def beside(database: Postgres) -> str:
    """What the restored database is called until it is swapped in.

    Raises:
        DatabaseError: the database's own name leaves no room for the names of those beside it.
    """
    name = database.name()
    if len(f"{name}{_LONGEST_SUFFIX}".encode()) > LONGEST_NAME:
        raise DatabaseError(
            f"the name {name} is too long: those of the databases beside it would have more than {LONGEST_NAME} bytes",
            "Restore it by hand: docs/backups.md",
        )
    return f"{name}_restored"


def _is_there(database: Postgres, name: str, backup: Backup) -> bool:
    """Whether it is restored and proven already; what is there and unfinished is dropped."""
    with closing(connect(database)) as connection:
        known = marks(connection, name)
    if known.get("restored") == backup.id and "proven" in known:
        say(f"{name} is {backup.id} already, restored and proven at {known['proven']}")
        return True
    vacated(database, name)
    return False


def vacated(database: Postgres, name: str) -> None:
    """Drop what an earlier run left under a name.

    Args:
        database: on whose server.
        name: the name that is to be free.

    Raises:
        DatabaseError: it is none of ours, or is still in use.
    """
    with closing(connect(database)) as connection:
        if not exists(connection, name):
            return
        known = marks(connection, name)
    if not known:
        # It may have been killed before it was marked; then nothing is in it.
        with closing(connect(database, name)) as connection:
            if tables(connection):
                raise DatabaseError(
                    f"there is a database {name}, which was not made by this software", "Rename it, or drop it yourself"
                )
    say(f"dropping {name}, which an earlier run left")
    drop(database, name)


def _restored(
    catalogue: Catalogue, backup: Backup, database: Postgres, name: str, jobs: int
) -> tuple[dict[str, float], list[str]]:
    manifest = intact(backup)
    with Pulse(database.deadline, database, name) as pulse, created(database, name, manifest.locale, pulse) as keep:
        with closing(connect(database, watched=pulse.cuts)) as connection:
            try:
                mark(connection, name, restored=backup.id)
                seconds = restore(
                    catalogue.store, catalogue.key(backup.id, DUMP), manifest, database, name, jobs, [], pulse
                )
                began = time.monotonic()
                findings = list(compared(manifest, database, name, jobs, pulse))
                if findings:
                    raise BackupDamaged(
                        f"the restored backup {backup.id} differs: {'; '.join(findings[:3])}", "Name another backup"
                    )
                say(f"{name} is as the manifest says: {len(manifest.tables)} tables, {manifest.rows} rows, the schema")
                seconds["prove"] = round(time.monotonic() - began, 3)
                began = time.monotonic()
                with closing(connect(database, name, pulse.cuts)) as inside:
                    inside.execute("ANALYZE")
                seconds["analyze"] = round(time.monotonic() - began, 3)
                mark(connection, name, proven=clock.iso(clock.now()))
                left = Attributes.of(connection, database.name()).give(connection, name)
            except psycopg.Error as error:
                raise failure(error, database.parameters()) from None
        for one in left:
            say(one)
        keep()
    return seconds, left
