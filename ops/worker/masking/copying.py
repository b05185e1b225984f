"""Masking: every row is copied from the database with the originals into an empty one, masked on its way.

The new database never sees an original: what PostgreSQL is asked for in the old one is masked already. Its tables are
those of the dump's pre-data section; indexes, unique constraints and foreign keys come afterwards, and so are proved by
PostgreSQL itself.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

import psycopg

from ops.database import Postgres
from ops.errors import DatabaseError, DatabaseUnreachable
from ops.masking import AnyTable, Keep, Masked, Masking, Shift
from ops.worker.connection import connect, failure
from ops.worker.masking.classification import classify
from ops.worker.masking.masks import bring_salt, expression, identifier
from ops.worker.masking.survey import Survey, Table, settle, survey
from ops.worker.piped import pipe
from ops.worker.progress import Meter, reporting, say
from ops.worker.pulse import Pulse
from ops.worker.rows import Name

_OTHERWISE = re.compile("(Finalize |Partial |Group|Hash|Mixed)?Aggregate|ProjectSet|WindowAgg")
"""The plan of what gives more rows than there are, or fewer."""


@dataclass
class Copied:
    """What was copied.

    Args:
        rows: by table, how many. Of a partitioned table whose rows find their partitions anew, because what it is
            parted by is masked, all are counted as its own.
        seconds: by table, how long it took.
        bytes: that went from one database to the other.
        whole: seconds from the first to the last.
    """

    rows: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    bytes: int = 0
    whole: float = 0.0


@dataclass(frozen=True)
class Copying:
    """The rows of one table on their way.

    Args:
        name: whose rows.
        into: the table that they go into.
        asked: the statement that gives them, masked.
        taken: the statement that takes them.
        bytes: the size of the table.
    """

    name: Name
    into: Name
    asked: str
    taken: str
    bytes: int


def mask(source: Postgres, target: Postgres, masking: Masking, jobs: int, pulse: Pulse, keys: Survey) -> Copied:
    """Copy the rows of one database into another, masked, several tables at once, the largest first.

    Args:
        source: the database with the originals, to which nobody writes; only temporary tables are made in it.
        target: the new one, with the tables of the same dump's pre-data section and no row.
        masking: what becomes of every table and column; ``own``, ``empty`` and ``remote`` ones are left out.
        jobs: how many tables at once, two connections each.
        pulse: told of whatever moves; cuts the connections when nothing does.
        keys: a survey of a database with the whole schema, unique indexes and foreign keys included: of ``source``
            itself, or of another made from the same dump without rows.

    Raises:
        Unclassified: not everything is classified; nothing was copied.
        DatabaseError: one line that names the table, and no value of it; the target is half full and must be dropped.
    """
    with closing(connect(source, watched=pulse.cuts)) as connection:
        found = survey(connection).with_keys_of(keys)
        rules = classify(found, masking)
        copyings = planned(found, rules)
        bring_salt(connection, masking.salt)
        _try(connection, copyings)
    say(f"masking {len(copyings)} tables, {sum(one.bytes for one in copyings) / 1e6:.0f} MB, {jobs} at once")
    run = _Run(source, target, masking, pulse, copyings)
    with reporting(lambda: f"masked {run}"):
        with ThreadPoolExecutor(jobs, "masking") as workers:
            for _ in range(min(jobs, len(copyings))):
                workers.submit(run.work)
    if run.failure is not None:
        raise run.failure
    run.copied.whole = round(run.meter.seconds(), 3)
    say(f"masked {run}")
    return run.copied


def planned(found: Survey, rules: Mapping[Name, AnyTable]) -> list[Copying]:
    """What is to be copied, the largest table first.

    Args:
        found: in the database with the originals.
        rules: by table, all of them fitting.
    """
    copyings = []
    for table in found.tables.values():
        rule = rules[table.root or table.name]
        if isinstance(rule, Masked) and table.kind == "r":
            copyings.append(_copying(table, rule, found))
    return sorted(copyings, key=lambda one: (-one.bytes, str(one.name)))


def _copying(table: Table, rule: Masked, found: Survey) -> Copying:
    whole = table.root or table.name
    name = _sql(table.name)
    columns = [column for column in table.columns if not column.computed]
    types = {column.name: column.type for column in columns}

    def of(column: str) -> str:
        return f"{name}.{identifier(column)}"

    made = []
    for column in columns:
        its = rule.columns[column.name]
        by = (of(its.by), types[its.by]) if isinstance(its, Shift) and its.by is not None else None
        made.append(expression(its, of(column.name), column.type, (whole, column.name) in found.distinct, by))
    conditions = [f"({table.dumped.removeprefix('WHERE ')})"] if table.dumped else []
    if rule.without is not None:
        conditions.append(f"({rule.without}\n) IS NOT TRUE")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    # What its rows are parted by decides where they go; an expression is not looked into.
    keys = found.keys.get(whole, frozenset())
    stays = keys is not None and all(isinstance(rule.columns.get(key), Keep) for key in keys)
    into = table.name if stays else whole
    # A table without columns has rows as well, but no list of them.
    listed = f" ({', '.join(identifier(column.name) for column in columns)})" if columns else ""
    return Copying(
        table.name,
        into,
        f"SELECT {', '.join(made)} FROM ONLY {name}{where}",
        f"COPY {_sql(into)}{listed} FROM STDIN{' WITH (FREEZE)' if stays and not table.extension else ''}",
        table.bytes,
    )


def _sql(name: Name) -> str:
    return f"{identifier(name.schema)}.{identifier(name.table)}"


def _prepare(connection: psycopg.Connection, name: Name) -> None:
    """Names in an inventory's SQL are looked for in the table's own schema, but never before PostgreSQL's own."""
    path = f"pg_catalog, {identifier(name.schema)}"
    connection.execute("SELECT set_config('search_path', %s, false)", [path])


def _try(connection: psycopg.Connection, copyings: list[Copying]) -> None:
    """Have PostgreSQL read every statement before the first row is copied.

    Raises:
        DatabaseError: it refuses one.
    """
    for one in copyings:
        _prepare(connection, one.name)
        try:
            plan = [str(line) for (line,) in connection.execute(f"EXPLAIN {one.asked}")]
        except psycopg.Error as error:
            # No row was read, so that this is about the statement alone.
            said = failure(error).problem.removeprefix("PostgreSQL ")
            raise DatabaseError(
                f"{one.name} cannot be masked: {said}", "Correct its rules: a constant, an expression or without=…"
            ) from None
        if any(_OTHERWISE.match(node) for node in _nodes(plan)):
            raise DatabaseError(
                f"{one.name} cannot be masked: an expression gives not just one value for each row",
                "Correct it: no aggregate, and nothing that gives several rows",
            )


def _nodes(plan: Iterable[str]) -> Iterator[str]:
    """The nodes of a plan, but for those of subqueries, which may count whatever they like."""
    below: int | None = None
    for line in plan:
        indent = len(line) - len(line.lstrip())
        if below is not None and indent > below:
            continue
        node = line.strip().removeprefix("->").strip()
        below = indent if node.startswith(("InitPlan", "SubPlan")) else None
        yield node


class _Run:
    """All tables, taken one after the other by several workers."""

    def __init__(
        self, source: Postgres, target: Postgres, masking: Masking, pulse: Pulse, copyings: list[Copying]
    ) -> None:
        self.copied = Copied()
        self.meter = Meter()
        self.failure: BaseException | None = None
        """The first one; the others follow from it."""
        self._source = source
        self._target = target
        self._masking = masking
        self._pulse = pulse
        self._waiting = deque(copyings)
        self._count = len(copyings)

    def __str__(self) -> str:
        return f"{len(self.copied.rows)} of {self._count} tables, {self.meter}"

    def work(self) -> None:
        """Copy tables until none is left, or one has failed."""
        try:
            with closing(connect(self._source, watched=self._pulse.cuts)) as near:
                with closing(connect(self._target, watched=self._pulse.cuts)) as far:
                    self._begin(near, far)
                    while self._waiting and self.failure is None:
                        self._copy(self._waiting.popleft(), near, far)
        except BaseException as error:
            self.failure = self.failure or error

    def _begin(self, near: psycopg.Connection, far: psycopg.Connection) -> None:
        encoding = near.info.parameter_status("server_encoding") or "UTF8"
        for connection in (near, far):
            settle(connection)
            connection.execute("SELECT set_config('client_encoding', %s, false)", [encoding])
        bring_salt(near, self._masking.salt)

    def _copy(self, one: Copying, near: psycopg.Connection, far: psycopg.Connection) -> None:
        began = time.monotonic()
        try:
            for connection in (near, far):
                _prepare(connection, one.name)
            far.execute("BEGIN")
            if one.taken.endswith("(FREEZE)"):
                # Only so may the rows be written as old ones, which no vacuum has to visit again.
                far.execute(f"TRUNCATE ONLY {_sql(one.into)}")
            rows = pipe(near, f"COPY ({one.asked}) TO STDOUT", far, one.taken, self._moved)
            far.execute("COMMIT")
        except psycopg.Error as error:
            raise _told(one.name, error) from None
        into = str(one.into)
        self.copied.rows[into] = self.copied.rows.get(into, 0) + rows
        self.copied.seconds[into] = round(self.copied.seconds.get(into, 0) + time.monotonic() - began, 3)

    def _moved(self, size: int) -> None:
        if self.failure is not None:
            raise self.failure
        self._pulse.beat()
        self.meter.moved += size
        self.copied.bytes += size


def _told(name: Name, error: psycopg.Error) -> DatabaseError:
    """The failure without PostgreSQL's own words, in which there are values."""
    if error.sqlstate is None:
        return DatabaseUnreachable(
            f"the connection broke while {name} was masked",
            "Look at the network and at the server, then run this again",
        )
    what = type(error).__name__
    column, constraint = error.diag.column_name, error.diag.constraint_name
    where = f", column {column}" if column else ""
    why = f", constraint {constraint}" if constraint else ""
    return DatabaseError(
        f"{name}{where} cannot be masked: {what} ({error.sqlstate}){why}",
        "A rule makes what the table does not take: correct it in the inventory"
        if error.sqlstate[:2] in ("22", "23")
        else "Look at the server's log, then run this again",
    )
