"""A rehearsal: migrations go their way on a copy, back, and once more, with all that can be measured of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ops.engines import Applied, Engine, Migration, Statement, Target
from ops.errors import MigrationFailed
from ops.migrations import Migrations
from ops.worker import server_wide
from ops.worker.connection import connect
from ops.worker.copy import Copy
from ops.worker.fingerprint import differences, fingerprint
from ops.worker.locks import INTERVAL, STRENGTH, Held, LockWatch
from ops.worker.progress import say, timed
from ops.worker.reverted_rows import Table, contents, losses
from ops.worker.rows import count, tables
from ops.worker.way import Way

_SHOWN = 50
"""Statements, the slowest ones."""


@dataclass
class Rehearsal:
    """What came of it.

    Args:
        copy: how the copy was made.
        way: up or down.
        has_rows: whether it has the real database's.
        statements: as they were carried out the first time.
        locks: for each table and mode the longest.
        rewritten: tables that were written anew.
        rows: of each table whose number changed, before and after.
        reversed: migrations that went their way, back, and once more.
        one_way: migrations without a way back.
        findings: what speaks against applying them.
        before: the schema of the copy, by object.
        after: the schema that the migrations made.
        changes: what the migrations made (+), took away (-) and defined otherwise (~), by object.
        seconds: of each step.
        lost: rows and values of columns that are gone; measured only on the way down.
        elsewhere: whether the engine may have gone to another database than the copy.
        error: PostgreSQL's refusal, if there was one.
    """

    copy: str
    way: str = "up"
    has_rows: bool = True
    statements: list[Statement] = field(default_factory=list)
    locks: list[Held] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    rows: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    reversed: list[str] = field(default_factory=list)
    one_way: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    lost: list[dict[str, Any]] = field(default_factory=list)
    elsewhere: bool = False
    error: MigrationFailed | None = None

    def to_json(self) -> dict[str, Any]:
        """As the worker's answer carries it."""
        return {
            "copy": self.copy,
            "way": self.way,
            "has_rows": self.has_rows,
            **self._slowest(),
            "locks": [{**held.to_json(), "migration": self._during(held)} for held in self.locks],
            "lock_interval": INTERVAL,
            "rewritten": self.rewritten,
            "rows": {table: list(numbers) for table, numbers in self.rows.items()},
            "reversed": self.reversed,
            "one_way": self.one_way,
            "schema": self.changes,
            "lost": self.lost,
            "findings": self.findings,
            "seconds": self.seconds,
        }

    def altered(self) -> set[str]:
        """Tables that were altered, which only their owner may."""
        owners = ("AccessExclusiveLock", "ShareLock", "ShareUpdateExclusiveLock")
        locked = {held.table for held in self.locks if held.mode in owners}
        columns = {change[2:].split(" ", 1)[1].rpartition(".")[0] for change in self.changes if change[2:8] == "column"}
        return locked | columns

    def written(self) -> set[str]:
        """Tables whose rows were changed."""
        return {held.table for held in self.locks if held.mode == "RowExclusiveLock"} - self.altered()

    def made(self) -> set[str]:
        """Schemas in which something was made."""
        kinds = ("table", "view", "sequence", "function", "type", "index")
        new = (change[2:].split(" ", 1) for change in self.changes if change.startswith("+"))
        return {name.partition(".")[0] for kind, name in new if kind in kinds and "." in name}

    def _slowest(self) -> dict[str, Any]:
        """A report that can be read: thousands of statements cannot."""
        slowest = sorted(self.statements, key=lambda one: -one.seconds)[:_SHOWN]
        shown = [statement.to_json() for statement in self.statements if statement in slowest]
        return {"statements": shown, "more_statements": len(self.statements) - len(shown)}

    def _during(self, held: Held) -> str:
        """The migration in which a lock was taken."""
        begun = [one.migration for one in self.statements if one.began <= held.began + INTERVAL]
        return begun[-1] if begun else (self.statements[0].migration if self.statements else "")


def rehearse(
    engine: Engine, description: Migrations, migrations: tuple[Migration, ...], copy: Copy, way: Way
) -> Rehearsal:
    """Have the migrations go their way on the copy, back where they can, and their way once more.

    Raises:
        OpsError: it could not be carried out. What speaks against the migrations is in the answer.
    """
    target = Target(copy.server, copy.name, description.lock_timeout, description.statement_timeout)
    found = Rehearsal(copy.how, way.name, copy.rows, one_way=[one.id for one in migrations if not one.has_down])
    with closing(connect(copy.server, copy.name)) as connection:
        returns = way.returns(engine, migrations, engine.status(connection))
    if copy.beside:
        server_wide.refuse(migrations)
    found.before, rows_before, files_before = _look(copy)
    had = _contents(engine, copy, way)
    server = _server(copy)
    with LockWatch(copy.server, copy.name) as watch:
        applied = _timed(
            found, way.name, lambda: way.go(engine, target, migrations, lambda name: say(f"rehearsing {name}"))
        )
    found.statements, found.locks, found.error = applied.statements, watch.longest(), applied.error
    if watch.broken:
        found.findings.append(f"its locks are not known, because the watch was cut off: {watch.broken}")
    found.after, rows, files = _look(copy)
    found.lost = losses(had, _contents(engine, copy, way))
    found.changes = _changes(engine.without_account(found.before), engine.without_account(found.after))
    found.rows = {
        table: (number, rows.get(table)) for table, number in rows_before.items() if rows.get(table) != number
    }
    found.rewritten = sorted(
        files_before[oid][0] for oid in files_before if oid in files and files[oid] != files_before[oid]
    )
    if changed := differences(server, _server(copy), "the server before"):
        found.findings.append(f"it changes the whole server, and not the database alone: {'; '.join(changed[:3])}")
    if found.error is None:
        _judge_locks(found, description)
        if _judge_arrival(engine, copy, found, way) and returns:
            _there_and_back(engine, target, migrations, copy, found, way)
            _judge_arrival(engine, copy, found, way)
    return found


def _contents(engine: Engine, copy: Copy, way: Way) -> dict[int, Table]:
    """What can be lost; without rows nothing is known of that."""
    if way.name == "up" or not copy.rows:
        return {}
    with closing(connect(copy.server, copy.name)) as connection:
        return contents(connection, engine.account.as_string(connection))


def _server(copy: Copy) -> dict[str, str]:
    with closing(connect(copy.server, copy.name)) as connection:
        return server_wide.state(connection)


def _look(copy: Copy) -> tuple[dict[str, str], dict[str, int], dict[int, tuple[str, int]]]:
    """Schema, rows, and files of the copy."""
    with closing(connect(copy.server, copy.name)) as connection:
        names = tables(connection)
        rows = {str(name): number for name, number in count(connection, names, lambda name: None).items()}
        query = "SELECT oid, oid::regclass::text, pg_relation_filenode(oid) FROM pg_class WHERE relkind IN ('r', 'm')"
        query += " AND oid >= 16384 AND relpersistence <> 't' AND relnamespace::regnamespace::text !~ '^pg_'"
        files = {oid: (name, file) for oid, name, file in connection.execute(query)}
        return fingerprint(connection), rows, files


def _schema(copy: Copy) -> dict[str, str]:
    with closing(connect(copy.server, copy.name)) as connection:
        return fingerprint(connection)


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    signs = {
        object: "+" if object not in before else "-" if object not in after else "~"
        for object in before.keys() | after.keys()
        if before.get(object) != after.get(object)
    }
    return [f"{sign} {object}" for object, sign in sorted(signs.items())]


def _timed(found: Rehearsal, step: str, do: Any) -> Applied:
    with timed(found.seconds, step):
        return do()  # type: ignore[no-any-return]


def _judge_locks(found: Rehearsal, description: Migrations) -> None:
    limit = STRENGTH[description.strongest_lock]
    for held in found.locks:
        if STRENGTH[held.mode] > limit and held.seconds > description.longest_lock:
            found.findings.append(
                f"{held.table} is locked for {held.seconds:.1f} s by {held.mode} in {found._during(held)}; "
                f"{description.longest_lock:g} s are allowed"
            )


def _there_and_back(
    engine: Engine, target: Target, migrations: tuple[Migration, ...], copy: Copy, found: Rehearsal, way: Way
) -> None:
    back = _timed(
        found, way.opposite, lambda: way.back(engine, target, migrations, lambda name: say(f"{way.undoing} {name}"))
    )
    if back.error:
        found.findings.append(f"{way.back_fails.format(back.error.migration)}: {back.error.said}")
        return
    schema = _schema(copy)
    own = engine.without_account
    if left := differences(own(found.before), own(schema), "the schema before"):
        found.findings.append(f"{way.back_differs}: {'; '.join(left[:3])}")
    again = _timed(
        found, f"{way.name} again", lambda: way.go(engine, target, migrations, lambda name: say(f"once more {name}"))
    )
    if again.error:
        found.findings.append(f"{way.again_fails.format(again.error.migration)}: {again.error.said}")
        return
    schema = _schema(copy)
    if changed := differences(found.after, schema, "the schema of the first time"):
        found.findings.append(f"{way.again_differs}: {'; '.join(changed[:3])}")
    found.reversed = [migration.id for migration in migrations]


def _judge_arrival(engine: Engine, copy: Copy, found: Rehearsal, way: Way) -> bool:
    """Whether the copy took up what was done: an engine that went elsewhere must not be asked for more."""
    with closing(connect(copy.server, copy.name)) as connection:
        left = way.left(engine, connection, engine.status(connection))
    if left:
        found.elsewhere = True
        found.findings.append(
            f"{way.stuck.format(way.first(left).id)}: "
            "it may have gone to another database, the real one included. Look there"
        )
    return not left
