"""Dump a database into the store: the dump, its hash, every table's exact rows, and the manifest last."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any, TypeVar

import psycopg

from ops import __version__, clock
from ops.database import Postgres
from ops.engines import open_engine
from ops.errors import BackupDamaged, ObjectMissing, OpsError
from ops.lock import Lock
from ops.migrations import Migrations
from ops.stores import Store, open_store
from ops.worker import tools
from ops.worker.catalogue import BACKUP_LOCK, DUMP, GLOBALS, MANIFEST, Catalogue
from ops.worker.census import Census
from ops.worker.check import intact
from ops.worker.connection import failure
from ops.worker.fingerprint import sequences
from ops.worker.hashed import Hashed
from ops.worker.manifest import Manifest, Sequence, StoredFile, Table, seal
from ops.worker.program import PIPE, started
from ops.worker.progress import Meter, reporting, say
from ops.worker.pulse import Pulse
from ops.worker.request import Request
from ops.worker.snapshot import LOCK_TIMEOUT, Snapshot, exported

Answer = TypeVar("Answer")


def run(request: Request) -> dict[str, Any]:
    """Take a backup, unless a sound one is younger than ``max_age``.

    Raises:
        OpsError: one line; nothing is left in the store but what the next run sweeps away.
    """
    assert request.database is not None
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    with Lock(store, catalogue.prefix + BACKUP_LOCK, request.owner, "a backup") as lock:
        _sweep(catalogue)
        if request.max_age is not None:
            for backup in catalogue.sound():
                if clock.within(backup.age, request.max_age):
                    return {"changed": False, "backup": backup.to_json()}
                if backup.age > 0:
                    break
                say(f"{backup.id} is from the future and does not count: look at the clocks")
        id = _new_id(catalogue)
        try:
            manifest = _take(store, catalogue, id, request.database, request.migrations)
            lock.confirm()
            store.put_if_absent(catalogue.key(id, MANIFEST), seal(manifest))
            catalogue.forget()
            backup = catalogue.load(id)
            intact(backup)
        except BaseException:
            _undo(catalogue, id)
            raise
        return {"changed": True, "backup": backup.to_json(), "seconds": manifest.seconds}


def _sweep(catalogue: Catalogue) -> None:
    """Remove what killed runs left. We hold the lock, so nothing without a manifest is still being written."""
    aborted = catalogue.store.abort_uploads(catalogue.prefix)
    unfinished = catalogue.unfinished()
    for id, size in unfinished.items():
        say(f"sweeping away the unfinished backup {id} ({size / 1e6:.1f} MB)")
        catalogue.store.delete(catalogue.files(id))
    if aborted:
        say(f"threw away {aborted} unfinished upload{'s' if aborted > 1 else ''}")
    if unfinished:
        catalogue.forget()


def _undo(catalogue: Catalogue, id: str) -> None:
    """Leave nothing behind. Whether the manifest was written or not, this run will not say that it was."""
    catalogue.forget()
    with suppress(OpsError):
        catalogue.store.delete(catalogue.files(id))
        catalogue.store.abort_uploads(f"{catalogue.prefix}{id}/")


def _new_id(catalogue: Catalogue) -> str:
    while catalogue.taken(id := clock.stamp(clock.now())):
        time.sleep(0.1)
    return id


def _take(store: Store, catalogue: Catalogue, id: str, database: Postgres, migrations: Migrations | None) -> Manifest:
    began = clock.now()
    with Pulse(database.deadline, database) as pulse, exported(database, pulse) as (snapshot, holding):
        pg_dump = tools.for_dump(snapshot.major, database.bin_dir)
        compression = tools.compression(pg_dump)
        if pg_dump.major > snapshot.major:
            say(
                f"pg_dump {pg_dump.version} for a server of version {snapshot.major}: only pg_restore {pg_dump.major}"
                f" will read this dump; install postgresql-client-{snapshot.major}"
            )
        say(
            f"dumping {snapshot.size / 1e6:.0f} MB on disk, {len(snapshot.tables)} tables, "
            f"with {pg_dump.name} {pg_dump.version}, {compression}, as {id}"
        )
        before = _ask(database, sequences, holding)
        migration = _migration(migrations, holding)
        census = Census(database, snapshot, holding, pulse)
        meter = Meter()
        with ThreadPoolExecutor(2) as beside, reporting(lambda: f"dumped {meter}; {census}"):
            counting = beside.submit(census.take)
            globals_ = beside.submit(_globals, pg_dump, database, pulse)
            try:
                with started(pg_dump, _arguments(pg_dump, compression, snapshot), database, pulse) as program:
                    counting.add_done_callback(lambda done: program.process.kill() if done.exception() else None)
                    dump = Hashed(program, meter, pulse)
                    store.put(catalogue.key(id, DUMP), dump, size_hint=snapshot.size)
                    pulse.resume()
                dumped = meter.seconds()
            except BaseException:
                counted = counting.done()
                census.cut()
                if counted:
                    counting.result()  # the first to fail says why
                raise
            counting.result()
        seconds = {"dump": round(dumped, 3), "count": round(census.seconds, 3)}
        after = _ask(database, sequences, holding)
        say(f"dumped {meter}; {census}")
        roles = globals_.result()
        store.put(catalogue.key(id, GLOBALS), BytesIO(roles))
    _compare_stored(store, catalogue.key(id, DUMP), dump.size)
    finished = clock.now()
    return Manifest(
        id=id,
        environment=catalogue.environment,
        database=catalogue.database,
        started=clock.iso(began),
        finished=clock.iso(finished),
        server_version=snapshot.server_version,
        pg_dump_version=pg_dump.version,
        tool_version=__version__,
        compression=compression,
        lsn=snapshot.lsn,
        dump=StoredFile(size=dump.size, sha256=dump.sha256),
        globals=StoredFile(size=len(roles), sha256=hashlib.sha256(roles).hexdigest()),
        locale=snapshot.locale,
        extensions=snapshot.extensions,
        tables=[Table(schema_name=name.schema, name=name.table, rows=census.rows[name]) for name in snapshot.tables],
        large_objects=census.large_objects,
        sequences={name: Sequence(before=value, after=after.get(name)) for name, value in before.items()},
        fingerprint=census.fingerprint,
        migration=migration,
        seconds=seconds,
    )


def _arguments(pg_dump: tools.Tool, compression: str, snapshot: Snapshot) -> list[str]:
    return [
        "--format=custom",
        tools.compression_option(pg_dump, compression),
        f"--snapshot={snapshot.id}",
        f"--lock-wait-timeout={LOCK_TIMEOUT * 1000}",
        "--dbname=service=ops",
    ]


def _ask(
    database: Postgres, question: Callable[[psycopg.Connection], Answer], connection: psycopg.Connection
) -> Answer:
    try:
        return question(connection)
    except psycopg.Error as error:
        raise failure(error, database.parameters()) from None


def _migration(migrations: Migrations | None, connection: psycopg.Connection) -> str | None:
    """The migration that was applied last. A backup is not given up because that cannot be known."""
    if migrations is None:
        return None
    try:
        with connection.transaction():
            return open_engine(migrations).current(connection)
    except psycopg.Error as error:
        say(f"it is not known which migration was applied last: {failure(error).problem}")
        return None


def _compare_stored(store: Store, key: str, size: int) -> None:
    try:
        stored = store.head(key).size
    except ObjectMissing:
        stored = 0
    if stored != size:
        raise BackupDamaged(
            f"{store.location} has {stored} bytes of {key}, {size} were written",
            "Do not trust this store; run again",
        )


def _globals(pg_dump: tools.Tool, database: Postgres, pulse: Pulse) -> bytes:
    """Roles and their settings, without passwords, which only a superuser could read anyway."""
    arguments = ["--globals-only", "--no-role-passwords", "--dbname=service=ops"]
    with started(pg_dump.beside("pg_dumpall"), arguments, database, pulse) as program:
        content = bytearray()
        while piece := program.output.read(PIPE):
            content += piece
        program.succeed()
    return bytes(content)
