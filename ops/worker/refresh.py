"""A refresh: another environment's data beside the database, masked on its way, and proved; nothing is replaced yet."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import IO, Any

import psycopg

from ops.database import Postgres
from ops.errors import DatabaseError
from ops.lock import Lock
from ops.masking import Masked, Masking, Own
from ops.refresh import BackupOf, Refresh
from ops.stores import open_store
from ops.worker.attributes import Attributes, mark, marks
from ops.worker.beside import LOCK, beside, proven, vacated
from ops.worker.catalogue import Catalogue
from ops.worker.classification import classify
from ops.worker.connection import connect
from ops.worker.drill import scratch_name
from ops.worker.fingerprint import differences, fingerprint, sequences
from ops.worker.grants import carry_over
from ops.worker.mask import mask
from ops.worker.origin import Origin, at, opened, restore_section
from ops.worker.originals import survivors
from ops.worker.own_rows import put_back
from ops.worker.progress import say
from ops.worker.pulse import Pulse
from ops.worker.request import Request
from ops.worker.restore import created, drop
from ops.worker.rows import count, tables
from ops.worker.survey import Survey, survey


def run(request: Request) -> dict[str, Any]:
    """Bring the data beside the database, as ``<database>_restored``; or only look what there is.

    Raises:
        Unclassified: a column, or more, has no rule; nothing was done.
        OpsError: one line; what was begun is gone again, the database is as it was.
    """
    assert request.database is not None and request.refresh is not None
    if request.look:
        return _look(request, request.refresh)
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    with Lock(store, catalogue.prefix + LOCK, request.owner, "a refresh") as lock:
        vacated(request.database, beside(request.database))
        with opened(request.refresh.source, request.backup, request.environment) as origin:
            made = _make(request, request.refresh, origin, scratch_name(catalogue, "refresh"))
        lock.confirm()
    return {"changed": True, "source": origin.id, "database": beside(request.database), **made}


def _look(request: Request, described: Refresh) -> dict[str, Any]:
    assert request.database is not None
    source = described.source
    answer: dict[str, Any] = {
        "beside": beside(request.database),
        "kind": source.kind,
        "masked": digest(described.masking),
    }
    if isinstance(source, BackupOf):
        catalogue = Catalogue(open_store(source.store), source.environment, source.database)
        backup = proven(catalogue, request.backup)
        answer |= {"source": f"{source.environment}/{backup.id}", "backup": backup.to_json()}
    else:
        answer |= {"source": f"{source.environment}, branch {source.neon.branch}"}
    with closing(connect(request.database)) as connection:
        answer["current"] = marks(connection, request.database.name())
    return answer


def digest(masking: Masking) -> str:
    """A short name for a set of rules: other rules make another database of the same backup."""
    rules = masking.model_dump(mode="json", exclude={"salt"})
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:12]


def _make(request: Request, described: Refresh, origin: Origin, scratch: str) -> dict[str, Any]:
    """Make the masked database; what came of it."""
    assert request.database is not None
    database, masking, jobs = request.database, described.masking, request.jobs
    server, name = (described.scratch or database).plain(), beside(database)
    target = at(database, name)
    seconds: dict[str, float] = {}
    began = time.monotonic()
    drop(server, scratch)  # what a killed refresh left
    with ExitStack() as stack:
        pulse = stack.enter_context(Pulse(database.deadline, database, name))
        with _timed(seconds, "fetch"):
            archive = stack.enter_context(origin.archive(pulse))
        with _timed(seconds, "classify"):
            found, schema = _surveyed(database, name, origin, archive, masking, pulse)
        keep = stack.enter_context(created(database, name, origin.locale, pulse))
        _mark(database, name, restored=origin.id)
        with _timed(seconds, "originals"):
            say(f"bringing {origin.id} into {scratch}, which is gone once it is masked")
            source = stack.enter_context(origin.originals(server, scratch, archive, jobs))
        with _timed(seconds, "tables"):
            restore_section("pre-data", archive, origin.major, database, name, jobs, pulse)
        with _timed(seconds, "mask"):
            copied = mask(source, target, masking, jobs, pulse, found)
        with _timed(seconds, "own rows"):
            own = put_back(database, target, _tables(masking, Own), pulse)
            _set_sequences(source, target, masking, pulse)
        with _timed(seconds, "indexes and constraints"):
            say("building indexes and constraints")
            restore_section("post-data", archive, origin.major, database, name, jobs, pulse)
        with _timed(seconds, "prove"):
            _require_whole(origin, masking, copied.rows, own, target, schema, pulse)
            survivors(source, target, masking, found, pulse)
        with _timed(seconds, "analyze"):
            with closing(connect(target, watched=pulse.cuts)) as connection:
                connection.execute("ANALYZE")
        left = carry_over(database, target, pulse)
        with closing(connect(database, watched=pulse.cuts)) as connection:
            left += Attributes.of(connection, database.name()).give(connection, name)
            mark(connection, name, masked=digest(masking))
        for one in left:
            say(f"not carried over: {one}")
        keep()
    seconds["all"] = round(time.monotonic() - began, 3)
    say(f"{name} is {origin.id}, masked: {sum(copied.rows.values()):,} rows of {len(copied.rows)} tables")
    return {"rows": copied.rows, "own": own, "bytes": copied.bytes, "not_carried_over": left, "seconds": seconds}


def _surveyed(
    database: Postgres, name: str, origin: Origin, archive: IO[bytes], masking: Masking, pulse: Pulse
) -> tuple[Survey, dict[str, str]]:
    """What there is to be masked, and its fingerprint, by the schema alone: before any row is anywhere.

    Raises:
        Unclassified: not everything has a rule.
    """
    with created(database, name, origin.locale, pulse):
        restore_section("schema", archive, origin.major, database, name, 1, pulse)
        with closing(connect(database, name, pulse.cuts)) as connection:
            found = survey(connection)
            classify(found, masking)
            return found, fingerprint(connection)


def _set_sequences(source: Postgres, target: Postgres, masking: Masking, pulse: Pulse) -> None:
    """Where production's stand; those of a table with rows of its own stand where its own do."""
    with closing(connect(source, watched=pulse.cuts)) as connection:
        found = sequences(connection)
    with closing(connect(target, watched=pulse.cuts)) as connection:
        for sequence, value in found.items():
            if value is not None and not _is_set(connection, sequence):
                connection.execute("SELECT setval(to_regclass(%s), %s)", [sequence, value])


def _is_set(connection: psycopg.Connection, sequence: str) -> bool:
    row = connection.execute("SELECT pg_sequence_last_value(to_regclass(%s))", [sequence]).fetchone()
    return row != (None,)


def _require_whole(
    origin: Origin,
    masking: Masking,
    copied: Mapping[str, int],
    own: Mapping[str, int],
    target: Postgres,
    schema: dict[str, str],
    pulse: Pulse,
) -> None:
    """The rows that were copied are there, they are those of the backup, and the schema is the one that was dumped."""
    with closing(connect(target, watched=pulse.cuts)) as connection:
        names = tables(connection)
        rows = {str(name): number for name, number in count(connection, names, lambda name: pulse.beat()).items()}
        wrong = differences(schema, fingerprint(connection), "the dump")
    put = {**copied, **own}
    wrong += [
        f"{name} has {rows[name]} rows, {put[name]} were put into it" for name in rows if rows[name] != put.get(name, 0)
    ]
    if origin.manifest is not None:
        whole = {name for name, rule in masking.tables.items() if isinstance(rule, Masked) and rule.without is None}
        wrong += [
            f"{table} has {rows.get(str(table))} rows, the backup's manifest says {table.rows}"
            for table in origin.manifest.tables
            if str(table) in whole and rows.get(str(table)) != table.rows
        ]
    if wrong:
        raise DatabaseError(f"the masked database is not whole: {'; '.join(wrong[:3])}", "Please report this")


def _tables(masking: Masking, kind: type[Own]) -> list[str]:
    return [name for name, rule in masking.tables.items() if isinstance(rule, kind)]


def _mark(database: Postgres, name: str, **told: str) -> None:
    with closing(connect(database)) as connection:
        mark(connection, name, **told)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[step] = round(time.monotonic() - began, 3)
