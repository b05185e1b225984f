"""A refresh: another environment's data beside the database, masked on its way, and proved; nothing is replaced yet."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Any

import psycopg

from ops.database import Postgres
from ops.errors import DatabaseError, ToolError
from ops.lock import Lock
from ops.masking import AnyTable, Masked, Masking, Own
from ops.refresh import BackupOf, Refresh
from ops.stores import open_store
from ops.worker import positions
from ops.worker.attributes import Attributes, exists, mark, marks
from ops.worker.beside import LOCK, beside, vacated
from ops.worker.catalogue import Catalogue
from ops.worker.connection import connect
from ops.worker.drill import scratch_name
from ops.worker.fingerprint import differences, fingerprint
from ops.worker.grants import carry_over
from ops.worker.masking.classification import classify
from ops.worker.masking.copying import mask
from ops.worker.masking.masks import revealed_salt
from ops.worker.masking.originals import survivors
from ops.worker.masking.survey import Survey
from ops.worker.origin import OfBackup, Origin, at, opened, surveyed
from ops.worker.own_rows import put_back
from ops.worker.progress import say, timed
from ops.worker.pulse import Pulse
from ops.worker.request import Request
from ops.worker.restore import created, drop
from ops.worker.rows import Name, count, tables
from ops.worker.sections import restore_section

SCRATCH = "refresh"
"""For which use the scratch database is: it has what is not masked."""
_NOT_TAKEN = "A rule makes what the constraint does not take: correct it in the inventory"
_BOUND = {
    "could not create unique index": "A rule makes the same of two values: another salt may help where it was chance, "
    'or "hash", or "fake text"',
    "violates foreign key constraint": "Rows are left out (without=…, empty, own) to which these refer: leave "
    'these out too, or make that column "null"',
    "could not create exclusion constraint": _NOT_TAKEN,
    "violates": _NOT_TAKEN,
}
"""What pg_restore says, and what to do then."""


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
            made = _make(request, request.refresh, origin, scratch_name(catalogue, SCRATCH))
        lock.confirm()
    return {"changed": True, "source": origin.id, "database": beside(request.database), **made}


def _look(request: Request, described: Refresh) -> dict[str, Any]:
    assert request.database is not None
    source = described.source
    answer: dict[str, Any] = {"beside": beside(request.database), "masked": digest(described.masking)}
    if isinstance(source, BackupOf):
        origin = OfBackup(source, request.backup)
        answer |= {"source": origin.id, "backup": origin.backup.to_json()}
    else:
        answer |= {"source": f"{source.environment}, branch {source.neon.branch}"}
    with closing(connect(request.database)) as connection:
        answer["current"] = marks(connection, request.database.name())
    scratch = scratch_name(Catalogue(open_store(request.store), request.environment, request.database_name), SCRATCH)
    with closing(connect((described.scratch or request.database).plain())) as connection:
        answer["left"] = [scratch] if exists(connection, scratch) else []
    return answer


def digest(masking: Masking) -> str:
    """A short name for a set of rules and their salt: others make another database of the same backup."""
    rules = masking.model_dump(mode="json", exclude={"salt"})
    # Whoever reads it must not find out the salt by trying.
    salt = hashlib.pbkdf2_hmac("sha256", revealed_salt(masking.salt), b"pyinfra-ops which salt", 200_000)
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode() + salt).hexdigest()[:12]


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
        with timed(seconds, "fetch"):
            archive = stack.enter_context(origin.archive(pulse))
        with timed(seconds, "classify"):
            found, schema = surveyed(origin, archive, database, name, pulse)
            rules = classify(found, masking)
        keep = stack.enter_context(created(database, name, origin.locale, pulse))
        with closing(connect(database, watched=pulse.cuts)) as connection:
            mark(connection, name, restored=origin.id)
        with timed(seconds, "originals"):
            say(f"bringing {origin.id} into {scratch}, which is gone once it is masked")
            source = stack.enter_context(origin.originals(server, scratch, archive, jobs))
        with timed(seconds, "tables"):
            restore_section("pre-data", archive, origin.major, database, name, jobs, pulse)
        with timed(seconds, "mask"):
            copied = mask(source, target, masking, jobs, pulse, found)
        with timed(seconds, "own rows"):
            mine = [table for table, rule in rules.items() if isinstance(rule, Own)]
            own = put_back(database, target, mine, pulse)
            _set_sequences(source, target, mine, pulse)
        # Before policies for rows are there, which may hide some from their owner, too.
        with timed(seconds, "prove"):
            _require_all_rows(origin, found, rules, {**copied.rows, **own}, target, pulse)
            survivors(source, target, masking, found, pulse)
        with timed(seconds, "indexes and constraints"):
            say("building indexes and constraints")
            try:
                restore_section("post-data", archive, origin.major, database, name, jobs, pulse)
            except ToolError as error:
                raise _bound(error) from None
        with timed(seconds, "analyze"):
            with closing(connect(target, watched=pulse.cuts)) as connection:
                _refuse(differences(schema, fingerprint(connection), "the dump"))
                try:
                    connection.execute("ANALYZE")
                except psycopg.Error as error:  # of a partition that is elsewhere, where staging may not read
                    say(f"not every table has statistics: PostgreSQL {type(error).__name__}")
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


def _bound(error: ToolError) -> ToolError:
    """What is to be done where an index or a constraint does not take what the rules have made."""
    for words, hint in _BOUND.items():
        if words in error.problem:
            return ToolError(error.problem, hint)
    return error


def _set_sequences(source: Postgres, target: Postgres, mine: list[Name], pulse: Pulse) -> None:
    """Where production's stand; those of a table with rows of its own stand where its own do."""
    with closing(connect(source, watched=pulse.cuts)) as there, closing(connect(target, watched=pulse.cuts)) as here:
        positions.carry(there, here, mine)


def _require_all_rows(
    origin: Origin,
    found: Survey,
    rules: Mapping[Name, AnyTable],
    put: Mapping[str, int],
    target: Postgres,
    pulse: Pulse,
) -> None:
    """The rows that were copied are there, and they are those of the backup.

    Of a partitioned table all rows are looked at together: what it is parted by may be masked.
    """
    with closing(connect(target, watched=pulse.cuts)) as connection:
        counted = count(connection, tables(connection), lambda name: pulse.beat())
    whole = {str(name): str(table.root or name) for name, table in found.tables.items()}
    there = _together({str(name): rows for name, rows in counted.items()}, whole)
    into = _together(put, whole)
    wrong = [
        f"{name} has {rows} rows, {into.get(name, 0)} were put into it"
        for name, rows in there.items()
        if rows != into.get(name, 0)
    ]
    if origin.manifest is not None:
        all_of = {str(name) for name, rule in rules.items() if isinstance(rule, Masked) and rule.without is None}
        then = _together({str(table): table.rows for table in origin.manifest.tables}, whole)
        wrong += [
            f"{name} has {there.get(name)} rows, the backup's manifest says {rows}"
            for name, rows in then.items()
            if name in all_of and there.get(name) != rows
        ]
    _refuse(wrong)


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise DatabaseError(f"the masked database is not whole: {'; '.join(wrong[:3])}", "Please report this")


def _together(rows: Mapping[str, int], whole: Mapping[str, str]) -> Counter[str]:
    """Rows by table, those of partitions as their table's."""
    found: Counter[str] = Counter()
    for name, number in rows.items():
        found[whole.get(name, name)] += number
    return found
