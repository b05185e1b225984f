"""Where a refresh's data comes from: another environment's newest proven backup, or a branch made of it on Neon."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from typing import IO

from psycopg import sql

from ops import branches, clock
from ops.clouds.neon import Project
from ops.database import Postgres
from ops.errors import OpsError
from ops.refresh import BackupOf, BranchOf
from ops.stores import open_store
from ops.worker import tools
from ops.worker.beside import proven
from ops.worker.catalogue import DUMP, Catalogue
from ops.worker.check import intact
from ops.worker.connection import connect
from ops.worker.fingerprint import fingerprint
from ops.worker.manifest import Locale, Manifest
from ops.worker.masking.survey import Survey, survey
from ops.worker.progress import Meter, say
from ops.worker.pulse import Pulse
from ops.worker.restore import created, fetched
from ops.worker.schema_only import dumped
from ops.worker.sections import restore_section
from ops.worker.snapshot import locale

_ORDINARY = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND pg_has_role(c.relowner, 'USAGE')
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')
"""


class Origin(ABC):
    """Where the data comes from.

    Args:
        id: of it, in words that tell it from others: ``prod/2026-11-21T10-00-00Z``.
        major: version of PostgreSQL that dumped it.
        locale: how its database is sorted and encoded.
        manifest: of the backup; None: it is none.
    """

    id: str
    major: int
    locale: Locale
    manifest: Manifest | None = None

    @abstractmethod
    def archive(self, pulse: Pulse) -> AbstractContextManager[IO[bytes]]:
        """A dump with at least the schema, in a file on the runner."""

    @abstractmethod
    def originals(
        self, scratch: Postgres, name: str, archive: IO[bytes], jobs: int
    ) -> AbstractContextManager[Postgres]:
        """A database with the rows as they are, which is gone at the end of the block.

        Args:
            scratch: the server for it, where it needs one.
            name: of the database, where it is made.
            archive: the dump.
            jobs: parallel ones.
        """


class OfBackup(Origin):
    """A backup.

    Args:
        described: whose.
        backup: its id; None: the newest proven one.
    """

    def __init__(self, described: BackupOf, backup: str | None) -> None:
        self._catalogue = Catalogue(open_store(described.store), described.environment, described.database)
        chosen = proven(self._catalogue, backup)
        self.manifest = intact(chosen)
        self.backup = chosen
        self.id = f"{described.environment}/{chosen.id}"
        self.major = int(self.manifest.pg_dump_version.partition(".")[0])
        self.locale = self.manifest.locale

    @contextmanager
    def archive(self, pulse: Pulse) -> Iterator[IO[bytes]]:
        """See ``Origin``."""
        assert self.manifest is not None
        key, dump = self._catalogue.key(self.backup.id, DUMP), self.manifest.dump
        with fetched(self._catalogue.store, key, dump, Meter(dump.size), pulse) as archive:
            yield archive

    @contextmanager
    def originals(self, scratch: Postgres, name: str, archive: IO[bytes], jobs: int) -> Iterator[Postgres]:
        """See ``Origin``. Without indexes and constraints, which nobody needs to read all of it."""
        with Pulse(scratch.deadline, scratch, name) as pulse, created(scratch, name, self.locale, pulse):
            closed_to_others(scratch, name)
            restore_section("pre-data", archive, self.major, scratch, name, jobs, pulse)
            unlogged(scratch, name, pulse)
            restore_section("data", archive, self.major, scratch, name, jobs, pulse)
            yield at(scratch, name)


class OfBranch(Origin):
    """A branch on Neon, which is made now.

    Args:
        described: of which branch.
        environment: for which it is.
    """

    def __init__(self, described: BranchOf, environment: str) -> None:
        now = clock.now()
        self._neon = described.neon
        self._project = Project(described.neon)
        self._environment = environment
        self.id = f"{described.environment}/{clock.stamp(now)}"
        self._name = str(branches.Made(branches.REFRESH, environment, now))

    @contextmanager
    def made(self) -> Iterator[Origin]:
        """While the block runs there is the branch. One that a killed run left goes now, or else when it expires."""
        for left in branches.of(self._environment, branches.REFRESH, self._project.branches()):
            self._project.delete(left)
        parent = self._project.require(self._neon.branch)
        say(f"making the branch {self._name} of {self._neon.branch}")
        branch = self._project.make(self._name, parent, expires=clock.now() + branches.READ)
        try:
            self._database = self._neon.on(self._name)
            with closing(connect(self._database)) as connection:
                self.major = connection.info.server_version // 10000
                self.locale = locale(connection)
            yield self
        except BaseException:
            with suppress(OpsError):  # it expires; the first failure is told
                self._project.delete(branch)
            raise
        self._project.delete(branch)

    @contextmanager
    def archive(self, pulse: Pulse) -> Iterator[IO[bytes]]:
        """See ``Origin``. The schema alone: the rows are read from the branch itself."""
        pg_dump = tools.for_dump(self.major, self._database.bin_dir)
        self.major = pg_dump.major
        with dumped(pg_dump, self._database, pulse) as archive:
            yield archive

    @contextmanager
    def originals(self, scratch: Postgres, name: str, archive: IO[bytes], jobs: int) -> Iterator[Postgres]:
        """See ``Origin``."""
        yield self._database


@contextmanager
def opened(described: BackupOf | BranchOf, backup: str | None, environment: str) -> Iterator[Origin]:
    """Where the data comes from, as long as the block runs.

    Args:
        described: in the inventory.
        backup: the id of the one to take; None: the newest proven one.
        environment: the one that it is for.

    Raises:
        OpsError: there is none.
    """
    if isinstance(described, BackupOf):
        yield OfBackup(described, backup)
        return
    with OfBranch(described, environment).made() as branch:
        yield branch


def surveyed(
    origin: Origin, archive: IO[bytes], database: Postgres, name: str, pulse: Pulse
) -> tuple[Survey, dict[str, str]]:
    """What there is, and its fingerprint, by the schema alone: before any row is anywhere.

    Args:
        origin: where the data comes from.
        archive: its dump.
        database: on whose server the schema is looked at.
        name: of the database that is made for it, and is gone afterwards.
        pulse: cuts it when nothing moves.

    Raises:
        OpsError: one line.
    """
    with created(database, name, origin.locale, pulse):
        restore_section("schema", archive, origin.major, database, name, 1, pulse)
        with closing(connect(database, name, pulse.cuts)) as connection:
            found = survey(connection)
            if origin.manifest is not None:  # the schema alone has none
                found = replace(found, large_objects=origin.manifest.large_objects)
            return found, fingerprint(connection)


def closed_to_others(server: Postgres, name: str) -> None:
    """Let nobody connect to a database but its owner: what is in it is not masked."""
    with closing(connect(server)) as connection:
        revoke = "REVOKE ALL ON DATABASE {} FROM PUBLIC"
        connection.execute(sql.SQL(revoke).format(sql.Identifier(name)))


def unlogged(server: Postgres, name: str, pulse: Pulse) -> None:
    """Keep the rows of a database out of the write-ahead log, and so out of its archive, replicas and backups.

    Only ordinary tables have rows, a partitioned one's are in its partitions. An extension's belong to others.
    """
    with closing(connect(server, name, pulse.cuts)) as connection:
        for schema, table in connection.execute(_ORDINARY).fetchall():
            connection.execute(sql.SQL("ALTER TABLE {} SET UNLOGGED").format(sql.Identifier(schema, table)))


def at(server: Postgres, database: str) -> Postgres:
    """Another database on the same server."""
    return server.model_copy(update={"database": database})
