"""Read a backup as it lies in the store, and compare size and hash with its manifest. Restores nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ops import clock
from ops.errors import BackupDamaged, ObjectMissing
from ops.stores import Store, open_store
from ops.worker.catalogue import DUMP, GLOBALS, VERIFICATION, Backup, Catalogue, State
from ops.worker.manifest import StoredFile, Verification, seal
from ops.worker.progress import Meter, reporting, say
from ops.worker.request import Request


def run(request: Request) -> dict[str, Any]:
    """Check one backup. A damaged one is marked as failed, so that it counts no more.

    Raises:
        BackupMissing: there is none.
        BackupDamaged: it is not what was written.
    """
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    backup = catalogue.choose(request.backup)
    manifest = intact(backup)
    meter = Meter(manifest.dump.size)
    say(f"reading {backup.id} from {store.location}")
    try:
        with reporting(lambda: f"read {meter}"):
            read(store, catalogue.key(backup.id, DUMP), manifest.dump, meter)
            read(store, catalogue.key(backup.id, GLOBALS), manifest.globals, Meter())
    except BackupDamaged as damage:
        record(catalogue, backup, "check", [damage.problem])
        raise
    return {"backup": backup.to_json(), "seconds": round(meter.seconds(), 3)}


def intact(backup: Backup) -> Any:
    """The manifest of a backup whose documents and files fit together.

    Raises:
        BackupDamaged: they do not.
    """
    if backup.manifest is None or backup.state is State.DAMAGED:
        raise BackupDamaged(f"the backup {backup.id} is damaged: {backup.problems[0]}", "Use another one")
    return backup.manifest


def read(
    store: Store, key: str, stated: StoredFile, meter: Meter, sink: Callable[[bytes], object] | None = None
) -> None:
    """Stream a file through its hash into ``sink``.

    Raises:
        BackupDamaged: size or hash are not as the manifest says, or the file is gone.
    """
    digest = hashlib.sha256()

    def take(piece: bytes) -> None:
        digest.update(piece)
        meter.moved += len(piece)
        if sink is not None:
            sink(piece)

    try:
        size = store.get(key, take)
    except ObjectMissing:
        raise BackupDamaged(f"{key} is gone from {store.location}", "Use another backup") from None
    if size != stated.size:
        raise BackupDamaged(f"{key} has {size} bytes, the manifest says {stated.size}", "Use another backup")
    if digest.hexdigest() != stated.sha256:
        raise BackupDamaged(
            f"{key} does not have the SHA-256 that was taken while it was written", "Use another backup"
        )


def record(
    catalogue: Catalogue, backup: Backup, kind: str, findings: list[str], seconds: dict[str, float] | None = None
) -> None:
    """Write down what a look at a backup found, pass when nothing; it takes the place of any earlier proof or failure.

    Args:
        catalogue: where the backup lies.
        backup: which was looked at.
        kind: ``drill`` or ``check``.
        findings: what differs.
        seconds: what each step took.
    """
    assert backup.manifest is not None
    verification = Verification(
        id=backup.id,
        outcome="fail" if findings else "pass",
        kind=kind,
        finished=clock.iso(clock.now()),
        seconds=seconds or {},
        findings=findings,
        sha256=backup.manifest.dump.sha256,
    )
    catalogue.store.write(catalogue.key(backup.id, VERIFICATION), seal(verification))
