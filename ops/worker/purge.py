"""Delete the rows of a rule, in batches, each of which is a short transaction of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql

from ops.errors import ConfigurationError, DatabaseError, OpsError
from ops.treatments import DeleteRows, Purge
from ops.worker.connection import connect, failure, legible
from ops.worker.progress import say
from ops.worker.pulse import Pulse
from ops.worker.request import Request

COUNTING = "120s"
"""How long the counting of rows may take."""
LOCK_TIMEOUT = "2s"
"""How long a batch, or the counting, may wait for who alters the table, so that it does not stand in others' way."""
INTERVAL = 1.0
"""Seconds between two lines of progress."""
LONGEST_PAUSE = 1.0
_BEGIN = "(0,0)"
_TABLE = """
    SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = to_regclass(%s)
"""
# Rows of other tables that go with those that they refer to, or forget them. Some refer to one partition alone.
_REFERRING = """
    WITH RECURSIVE tree AS (
      SELECT to_regclass(%s)::oid AS oid
      UNION
      SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
    ), referring AS (
      SELECT conrelid, confdeltype FROM pg_constraint
       WHERE contype = 'f' AND confrelid IN (SELECT oid FROM tree) AND confdeltype IN ('c', 'n', 'd')
      UNION
      SELECT k.conrelid, k.confdeltype FROM referring r JOIN pg_constraint k ON k.confrelid = r.conrelid
       WHERE r.confdeltype = 'c' AND k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd')
    )
    SELECT DISTINCT conrelid::regclass::text, confdeltype = 'c' FROM referring ORDER BY 2 DESC, 1
"""
_COUNT = "SELECT count(*) FROM {table} WHERE ({where}\n)"
# Whoever works on a row has it to himself: it is left for the next time. The search goes on behind the last row found,
# because what was deleted before it still takes time to pass by.
_BATCH = """
    WITH batch AS MATERIALIZED (
      SELECT tableoid, ctid FROM {table} WHERE ctid > %(after)s::tid AND ({where}
      ) LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), gone AS (
      DELETE FROM {table} AS t USING batch WHERE t.ctid = batch.ctid AND t.tableoid = batch.tableoid RETURNING 1
    )
    SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM gone), (SELECT max(ctid)::text FROM batch)
"""


def run(request: Request) -> dict[str, Any]:
    """Count the rows of a rule, or delete them.

    Raises:
        ConfigurationError: the rule does not fit the database.
        DatabaseError: they could not be counted; or a batch failed, those before it are gone.
    """
    treatment, database = request.treatment, request.database
    assert isinstance(treatment, DeleteRows)
    assert database is not None
    with Pulse(database.deadline, database) as pulse, closing(connect(database, watched=pulse.cuts)) as connection:
        try:
            legible(connection)
            rule = Rule(connection, treatment.rule)
            counted = rule.count()
            if request.look:
                return {"table": rule.name, "rows": counted, **rule.referring()}
            most = counted if treatment.most is None else treatment.most
            deleted = rule.delete(most, treatment.batch, pulse.beat)
            return {"table": rule.name, "deleted": deleted, "left": _left(rule)}
        except psycopg.Error as error:
            raise failure(error, database.parameters()) from None


def _left(rule: Rule) -> int | None:
    """How many rows there are by now; None when they cannot be counted, which takes back none that are gone."""
    try:
        return rule.count()
    except (psycopg.Error, OpsError):
        return None


class Rule:
    """A rule in a database.

    Args:
        connection: to it, in autocommit.
        described: as in the inventory.

    Raises:
        ConfigurationError: there is no such table.
    """

    def __init__(self, connection: psycopg.Connection, described: Purge) -> None:
        self._connection = connection
        self._described = described
        try:
            found = connection.execute(_TABLE, [described.table]).fetchone()
        except (psycopg.errors.InvalidName, psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported):
            found = None
        if found is None or found[2] not in ("r", "p"):
            raise ConfigurationError(
                f"the purge {described.name} names {described.table}, which is no table", "Look at the inventory"
            )
        self._parts = {"table": sql.Identifier(*found[:2]), "where": sql.SQL(described.where.replace("%", "%%"))}
        self.name = f"{found[0]}.{found[1]}"

    def count(self) -> int:
        """How many rows it has, by a transaction that can only read.

        Raises:
            ConfigurationError: its condition is not one.
            DatabaseError: it takes too long.
        """
        try:
            with self._connection.transaction():
                self._connection.execute("SET TRANSACTION READ ONLY")
                for limit, value in (("statement_timeout", COUNTING), ("lock_timeout", LOCK_TIMEOUT)):
                    self._connection.execute("SELECT set_config(%s, %s, true)", [limit, value])
                row = self._ask(_COUNT)
        except psycopg.errors.QueryCanceled:
            raise DatabaseError(
                f"the rows of the purge {self._described.name} could not be counted within {COUNTING}",
                "An index on what it asks for would help",
            ) from None
        except psycopg.Error as error:
            state = error.sqlstate or ""
            if not state.startswith(("22", "25", "42", "0A")) or state == "42501":
                raise  # the condition is not what is wrong: a connection that broke, or a permission
            # Only what PostgreSQL says about the condition itself holds no value of a row.
            said = failure(error).problem if state.startswith("42") else f"PostgreSQL {type(error).__name__}"
            raise ConfigurationError(
                f"the condition of the purge {self._described.name} is refused: {said}",
                "Look at where= in the inventory",
            ) from None
        return int(row[0])

    def referring(self) -> dict[str, list[str]]:
        """The tables whose rows go with these, and those whose rows forget them."""
        found = self._connection.execute(_REFERRING, [self._described.table]).fetchall()
        return {
            "deleted_too": [table for table, cascade in found if cascade],
            "changed_too": [table for table, cascade in found if not cascade],
        }

    def delete(self, most: int, batch: int, beat: Callable[[], object]) -> int:
        """Delete its rows; how many went.

        Args:
            most: that may go.
            batch: that may go at once.
            beat: is called after each batch.

        Raises:
            DatabaseError: a batch failed; says how many had gone before.
        """
        deleted, in_pass, after, said = 0, 0, _BEGIN, time.monotonic()
        self._connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
        try:
            while deleted < most:
                began, limit = time.monotonic(), min(batch, most - deleted)
                found, gone, last = self._ask(_BATCH, {"after": after, "limit": limit})
                beat()
                deleted, in_pass = deleted + gone, in_pass + gone
                if time.monotonic() - said >= INTERVAL:
                    said = time.monotonic()
                    say(f"{deleted:,} of {most:,} rows are deleted")
                if found < limit and (after == _BEGIN or not in_pass):
                    break
                # Once more from the start: not every search goes from the first page to the last.
                after, in_pass = (last, in_pass) if found else (_BEGIN, 0)
                # As long as it took, so that a server that is slow has the more time for others.
                time.sleep(min(time.monotonic() - began, LONGEST_PAUSE))
        except psycopg.Error as error:
            broken = failure(error)
            say(f"{deleted:,} of {most:,} rows are deleted")
            raise DatabaseError(
                f"{deleted:,} rows of {self.name} are deleted for good, then: {broken.problem}", broken.hint
            ) from None
        except KeyboardInterrupt:
            # The server may have deleted a batch without our having heard of it.
            say(f"{deleted:,} of {most:,} rows are deleted, and maybe one more batch of {batch:,}")
            raise
        say(f"{deleted:,} of {most:,} rows are deleted")
        return deleted

    def _ask(self, statement: str, values: dict[str, Any] | None = None) -> Any:
        # With values, or prepared, it can be one statement only, whatever the condition says.
        row = self._connection.execute(
            sql.SQL(statement).format(**self._parts), values or {}, prepare=not values
        ).fetchone()
        assert row is not None
        return row
