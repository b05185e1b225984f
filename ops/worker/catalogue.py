"""Which backups there are: one listing of the store, and each backup's sealed documents."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any
from urllib.parse import quote

from ops import clock
from ops.errors import BackupDamaged, BackupMissing, ObjectMissing
from ops.stores import Store
from ops.worker.manifest import Manifest, Verification, unseal

DUMP = "database.dump"
GLOBALS = "globals.sql"
MANIFEST = "manifest.json"
VERIFICATION = "verification.json"
BACKUP_LOCK = "backup.lock"
DRILL_LOCK = "drill.lock"


class State(StrEnum):
    """What is known of a backup."""

    PROVEN = "proven"
    """A drill restored it and found all as the manifest says."""
    UNPROVEN = "unproven"
    """Complete as stored; nobody has restored it yet."""
    FAILED = "failed"
    """A check or a drill found that it is not what was written, or cannot be restored."""
    DAMAGED = "damaged"
    """Its manifest, its verification or its files do not fit together."""


@dataclass
class Backup:
    """One backup, as far as it can be known without reading the dump."""

    id: str
    state: State
    manifest: Manifest | None = None
    verification: Verification | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether it counts: as fresh, for retention, for a restore."""
        return self.state in (State.PROVEN, State.UNPROVEN)

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return (clock.now() - clock.parse(self.id)).total_seconds()

    @property
    def proven_age(self) -> float | None:
        """Seconds since it was proven; None when it is not."""
        if self.state is not State.PROVEN or self.verification is None:
            return None
        return (clock.now() - clock.parse_iso(self.verification.finished)).total_seconds()

    def to_json(self) -> dict[str, Any]:
        """The backup as facts show it."""
        proof = self.verification
        return {
            "id": self.id,
            "state": str(self.state),
            "age": self.age,
            "size": self.manifest and self.manifest.dump.size,
            "tables": self.manifest and len(self.manifest.tables),
            "rows": self.manifest and self.manifest.rows,
            "proven": proof.finished if proof and self.state is State.PROVEN else None,
            "proven_age": self.proven_age,
            "restore_seconds": proof.seconds.get("restore") if proof and self.state is State.PROVEN else None,
            "problems": self.problems,
        }


class Catalogue:
    """The backups of one database of one environment.

    Args:
        store: where they lie.
        environment: the environment's name.
        database: the database's name.
    """

    def __init__(self, store: Store, environment: str, database: str) -> None:
        self.store = store
        self.environment = environment
        self.database = database
        self.prefix = f"{environment}/{quote(database, safe='')}/"

    def key(self, id: str, file: str) -> str:
        """Where a backup's file lies."""
        return f"{self.prefix}{id}/{file}"

    @cached_property
    def _sizes(self) -> dict[str, dict[str, int]]:
        """Each id's files and their sizes, as listed once."""
        found: dict[str, dict[str, int]] = {}
        for entry in self.store.list(self.prefix):
            id, _, file = entry.key.removeprefix(self.prefix).partition("/")
            if clock.is_stamp(id) and file:
                found.setdefault(id, {})[file] = entry.size
        return found

    def ids(self) -> list[str]:
        """Ids of the backups that exist, that is, have a manifest; newest first."""
        return sorted((id for id, files in self._sizes.items() if MANIFEST in files), reverse=True)

    def unfinished(self) -> dict[str, int]:
        """Ids that have files but no manifest, and how many bytes those take."""
        return {id: sum(files.values()) for id, files in self._sizes.items() if MANIFEST not in files}

    def taken(self, id: str) -> bool:
        """Whether anything lies under an id."""
        return id in self._sizes

    def files(self, id: str) -> list[str]:
        """Keys of all files of a backup, the manifest first: it must be the first to go."""
        return [self.key(id, file) for file in sorted(self._sizes.get(id, {}), key=lambda file: file != MANIFEST)]

    def forget(self) -> None:
        """List anew at the next question."""
        self.__dict__.pop("_sizes", None)

    def load(self, id: str) -> Backup:
        """One backup, its documents read and held against the listing.

        Raises:
            BackupMissing: no such backup.
        """
        files = self._sizes.get(id, {})
        if MANIFEST not in files:
            newest = self.ids()[:1]
            raise BackupMissing(
                f"there is no backup {id} of {self.environment}/{self.database} in {self.store.location}",
                f"The newest is {newest[0]}" if newest else "There is none at all",
            )
        backup = Backup(id, State.UNPROVEN)
        try:
            backup.manifest = self._manifest(id)
            backup.problems += self._misfits(backup.manifest, files)
        except BackupDamaged as damage:
            backup.problems.append(damage.problem)
        if backup.problems:
            backup.state = State.DAMAGED
        elif VERIFICATION in files:
            self._judge(backup)
        return backup

    def _judge(self, backup: Backup) -> None:
        """What the last drill or check found. A proof that cannot be read proves nothing, and damages nothing."""
        assert backup.manifest is not None
        try:
            backup.verification = self._verification(backup.id, backup.manifest)
        except BackupDamaged as damage:
            backup.problems.append(f"{damage.problem}; drill it again")
            return
        if backup.verification.outcome == "pass":
            backup.state = State.PROVEN
        else:
            backup.state = State.FAILED
            backup.problems = backup.verification.findings

    def all(self) -> list[Backup]:
        """Every backup, newest first."""
        with ThreadPoolExecutor(max_workers=8) as readers:
            return [backup for backup in readers.map(self._unless_pruned, self.ids()) if backup is not None]

    def _unless_pruned(self, id: str) -> Backup | None:
        try:
            return self.load(id)
        except ObjectMissing:
            return None  # it went between the listing and this look

    def sound(self) -> Iterator[Backup]:
        """The backups that count, newest first, read one by one as they are asked for."""
        return (backup for backup in map(self._unless_pruned, self.ids()) if backup is not None and backup.sound)

    def choose(self, id: str | None) -> Backup:
        """The backup of this id, or the newest that counts.

        Raises:
            BackupMissing: there is none.
        """
        if id is not None:
            return self.load(id)
        for backup in self.sound():
            return backup
        known = len(self.ids())
        raise BackupMissing(
            f"there is no sound backup of {self.environment}/{self.database} in {self.store.location}"
            + (f" ({known} damaged or failed)" if known else ""),
            f"Type: pyinfra {self.environment} deploys/backup.py",
        )

    def _manifest(self, id: str) -> Manifest:
        key = self.key(id, MANIFEST)
        manifest = unseal(Manifest, self.store.read(key)[0], key)
        if (manifest.environment, manifest.database, manifest.id) != (self.environment, self.database, id):
            raise BackupDamaged(
                f"{key} is the manifest of {manifest.environment}/{manifest.database}/{manifest.id}",
                "Somebody copied it here",
            )
        return manifest

    def _verification(self, id: str, manifest: Manifest) -> Verification:
        key = self.key(id, VERIFICATION)
        verification = unseal(Verification, self.store.read(key)[0], key)
        if (verification.id, verification.sha256) != (id, manifest.dump.sha256):
            raise BackupDamaged(f"{key} belongs to another backup", "Somebody copied it here")
        return verification

    def _misfits(self, manifest: Manifest, files: dict[str, int]) -> list[str]:
        problems = []
        for file, stated in ((DUMP, manifest.dump), (GLOBALS, manifest.globals)):
            size = files.get(file)
            if size is None:
                problems.append(f"{file} is gone")
            elif size != stated.size:
                problems.append(f"{file} has {size} bytes, the manifest says {stated.size}")
        return problems
