"""Prove a backup: restore it into a scratch database, compare everything with the manifest, write down the outcome."""

from __future__ import annotations

import hashlib
import socket
import time
from contextlib import closing
from typing import Any

from ops import clock
from ops.database import Postgres
from ops.errors import BackupDamaged, DatabaseError, ToolError
from ops.lock import Lock
from ops.stores import open_store
from ops.worker.catalogue import DRILL_LOCK, DUMP, GLOBALS, Backup, Catalogue, State
from ops.worker.check import intact, read, record
from ops.worker.connection import connect
from ops.worker.manifest import Manifest
from ops.worker.progress import Meter, say
from ops.worker.proof import compared
from ops.worker.pulse import Pulse
from ops.worker.request import Request
from ops.worker.restore import created, drop, restore

# A scratch server need not know the roles and tablespaces, and must never subscribe to anything.
OPTIONS = [
    "--no-owner",
    "--no-privileges",
    "--no-tablespaces",
    "--no-comments",
    "--no-security-labels",
    "--no-publications",
    "--no-subscriptions",
]

# What a failed restore says when the archive itself is at fault. Its hash was right, so anything else (a role, an
# extension, a right that the scratch server lacks) says nothing about the backup.
_ARCHIVES_FAULT = (
    "valid archive",
    "could not read from input file",
    "could not uncompress",
    "unexpected end of file",
    "unrecognized data block",
    'relation "',
    "corrupt",
    "duplicate key",
    "could not create unique index",
    "violates",
    "invalid input syntax",
)


def run(request: Request) -> dict[str, Any]:
    """Drill a backup: a named one in any case, else the newest, unless it is proven or any was within ``max_age``.

    Raises:
        BackupDamaged: the backup failed; that is written down and it counts no more.
        OpsError: the drill could not be carried out; nothing is known of the backup that was not known before.
    """
    assert request.server is not None
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    backup = catalogue.choose(request.backup)
    if proven := _proven_already(catalogue, backup, request):
        return {"changed": False, "backup": proven.to_json()}
    manifest = intact(backup)
    with Lock(store, catalogue.prefix + DRILL_LOCK, request.owner, f"a drill of {backup.id}", backup.id) as lock:
        try:
            seconds = _drill(catalogue, backup.id, manifest, request, lock)
            lock.confirm()
        except BackupDamaged as damage:
            lock.confirm()
            record(catalogue, backup, "drill", [damage.problem])
            raise
        record(catalogue, backup, "drill", [], seconds)
    catalogue.forget()
    return {"changed": True, "backup": catalogue.load(backup.id).to_json(), "seconds": seconds}


def _proven_already(catalogue: Catalogue, chosen: Backup, request: Request) -> Backup | None:
    """The backup whose proof makes this drill needless, if there is one."""
    if request.backup is not None:
        return None
    if request.max_age is None:
        return chosen if chosen.state is State.PROVEN else None
    for backup in catalogue.all():
        if backup.proven_age is not None and clock.within(backup.proven_age, request.max_age):
            return backup
    return None


def _drill(catalogue: Catalogue, id: str, manifest: Manifest, request: Request, lock: Lock) -> dict[str, float]:
    assert request.server is not None
    store, server = catalogue.store, request.server
    read(store, catalogue.key(id, GLOBALS), manifest.globals, Meter())
    scratch = scratch_name(catalogue, "drill")
    with Pulse(server.deadline, server, scratch) as pulse:
        _require_same_major(server, manifest, pulse)
        lock.confirm()
        drop(server, scratch, pulse)  # what a killed drill left; we hold the lock, so nobody is using it
        with created(server, scratch, manifest.locale, pulse):
            key = catalogue.key(id, DUMP)
            try:
                seconds = restore(store, key, manifest, server, scratch, request.jobs, OPTIONS, pulse)
            except ToolError as error:
                raise _blame(error, server, id, pulse) from None
            began = time.monotonic()
            findings = list(compared(manifest, server, scratch, request.jobs, pulse))
            seconds["compare"] = round(time.monotonic() - began, 3)
    if findings:
        more = f" and {len(findings) - 3} more differences" if len(findings) > 3 else ""
        raise BackupDamaged(
            f"the restored backup {id} differs: {'; '.join(findings[:3])}{more}",
            "Take a new backup and drill that",
        )
    say(f"{id}: {len(manifest.tables)} tables, {manifest.rows} rows and the schema are as the manifest says")
    return seconds


def _require_same_major(server: Postgres, manifest: Manifest, pulse: Pulse) -> None:
    """Another major version spells definitions otherwise, so that a comparison would prove nothing."""
    with closing(connect(server, watched=pulse.cuts)) as connection:
        here = connection.info.server_version // 10000
    there = int(manifest.server_version.partition(".")[0])
    if here != there:
        raise DatabaseError(
            f"the backup is of PostgreSQL {there}, the drill's server is PostgreSQL {here}",
            f"Name a server of version {there}: Drill(server=Postgres(…))",
        )


def scratch_name(catalogue: Catalogue, what: str) -> str:
    """One name for each place of backups and each use, so that the next run finds what a killed one left."""
    # A bucket has one address wherever it is seen from; a directory of the same name may be another on another host.
    where = f"{catalogue.store.location} {'' if '://' in catalogue.store.location else socket.gethostname()}"
    place = hashlib.sha256(f"{where} {catalogue.prefix}".encode()).hexdigest()[:8]
    return f"ops_{what}_{catalogue.environment}_{place}"


def _blame(error: ToolError, server: Postgres, id: str, pulse: Pulse) -> Exception:
    """Whether a failed pg_restore speaks against the backup, whose hash was right, or against the scratch server."""
    with closing(connect(server, watched=pulse.cuts)):  # raises DatabaseUnreachable when the server is gone
        if any(words in error.problem for words in _ARCHIVES_FAULT):
            return BackupDamaged(
                f"the backup {id} cannot be restored: {error.problem}", "Take a new backup and drill that"
            )
    return ToolError(f"the drill could not be carried out: {error.problem}", error.hint)
