"""Checks of the database: how it is, its schema, its rows, its migrations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ops.checks.base import Age, Check, Need, Place, Share
from ops.described import Described

Number = int | float
Privilege = Literal["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]


class Database(Check):
    """How the database and its server are. Each limit that is None is not looked at.

    That nobody is let in (refused, no answer, no such database, no connection left) is a failure; that we are not (a
    password, a certificate, a name that does not resolve) is unknown. What the role may not see is unknown as well: it
    sees everything as a member of ``pg_monitor``, and of ``pg_read_all_data`` for sequences; it need not be able to
    write.

    Args:
        version: the oldest major version that will do.
        connections: share that may be used of those that are not reserved, and of the database's and the roles' own
            ``CONNECTION LIMIT``.
        longest_transaction: age of the oldest transaction open in the database, a prepared one as well; our own
            backups and autovacuum do not count.
        longest_wait: how long a session may have waited for a lock of another.
        replication_lag: of each standby that is connected; there need be none. A slot without a reader is a warning.
        sequences: share of what a sequence, or the column that it fills, can hold that may be used up.
        transaction_ids: share of the 2³¹ transaction ids, or multixacts, that may lie between the oldest row of any of
            the server's databases and now: at 1 it takes no more writes. Its own vacuum begins at 0.09.
        dead_rows: share of a table's rows that may be dead (a hint at bloat: a warning only), from 10,000 rows on.
        invalid_indexes: whether to look for indexes that a failed ``CREATE INDEX CONCURRENTLY`` left.
    """

    kind: Literal["database"] = "database"
    needs: ClassVar[tuple[Need, ...]] = ("database",)
    place: ClassVar[Place] = Place.RUNNER
    preflight: ClassVar[bool] = True

    version: Annotated[int, Field(ge=9)] | None = 14
    connections: Share | None = 0.8
    longest_transaction: Age | None = "15m"
    longest_wait: Age | None = "30s"
    replication_lag: Age | None = "60s"
    sequences: Share | None = 0.8
    transaction_ids: Share | None = 0.5
    dead_rows: Share | None = 0.4
    invalid_indexes: bool = True

    def subject(self) -> str:
        """See ``Check``."""
        return "database"


class Column(Described):
    """A column that must be there.

    Args:
        type: as ``\\d`` in psql shows it, such as ``character varying(80)``, or as SQL takes it; none: any.
        nullable: whether it may be null; none: either.
    """

    type: str | None = None
    nullable: bool | None = None


class Table(Described):
    """A table, or a view, that must be there.

    All names are as in SQL: those with capitals may stand in quotes or without.

    Args:
        name: with its schema where that is not in the search path; here capitals need their quotes.
        columns: by name.
        indexes: names of indexes that must be there and be valid.
        constraints: names of constraints that must be there and be validated.
        grants: by role, the privileges that it must have, such as ``{"shop_app": ["SELECT", "INSERT"]}``.
    """

    name: str
    columns: dict[str, Column] = Field(default_factory=dict)
    indexes: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    grants: dict[str, tuple[Privilege, ...]] = Field(default_factory=dict)


class Schema(Check):
    """What the code expects of the schema; what is there beside it does not matter.

    Args:
        tables: that must be there.
    """

    kind: Literal["schema"] = "schema"
    needs: ClassVar[tuple[Need, ...]] = ("database",)
    place: ClassVar[Place] = Place.RUNNER

    tables: Annotated[tuple[Table, ...], Field(min_length=1)]

    def subject(self) -> str:
        """See ``Check``."""
        return "schema"


class Rows(Check):
    """A query that gives one value, and what that must be. It runs in a transaction that can only read.

    Anything else than one row with one column is unknown; so is NULL, or what is no number, where a number is compared.

    Args:
        query: one statement in SQL.
        equals: the value; a text is compared with what psql shows, so that dates and ids can be.
        at_least: the smallest number.
        at_most: the largest.
    """

    kind: Literal["rows"] = "rows"
    needs: ClassVar[tuple[Need, ...]] = ("database",)
    place: ClassVar[Place] = Place.RUNNER

    query: Annotated[str, Field(min_length=1)]
    equals: str | int | float | bool | None = None
    at_least: Number | None = None
    at_most: Number | None = None

    def subject(self) -> str:
        """See ``Check``."""
        return " ".join(self.query.replace(":", " ").split())[:60].strip()

    @model_validator(mode="after")
    def _a_limit(self) -> Self:
        if not self.model_fields_set & {"equals", "at_least", "at_most"}:
            raise ValueError("write equals=…, at_least=… or at_most=…")
        return self


class MigrationsCurrent(Check):
    """No migration is pending and none failed: the database is where the code expects it."""

    kind: Literal["migrations_current"] = "migrations_current"
    place: ClassVar[Place] = Place.HERE

    def subject(self) -> str:
        """See ``Check``."""
        return "migrations"
