"""A copy of the real database to rehearse on, which is gone afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ops.database import Neon, Postgres
from ops.errors import DatabaseError
from ops.worker.catalogue import DUMP, Catalogue
from ops.worker.check import intact
from ops.worker.connection import connect, failure
from ops.worker.drill import OPTIONS, scratch_name
from ops.worker.progress import say
from ops.worker.pulse import Pulse
from ops.worker.restore import created, drop, restore
from ops.worker.schema_only import copy_schema

_LOOKS, _PAUSE = 5, 0.1


@dataclass(frozen=True)
class Copy:
    """The copy.

    Args:
        server: where it is.
        name: of the database.
        how: it was made, in words.
        beside: whether it is on the real database's own server.
        rows: whether it has the real database's rows.
    """

    server: Postgres
    name: str
    how: str
    beside: bool
    rows: bool = True


@contextmanager
def branched(environment: str, neon: Neon, database: Postgres) -> Iterator[Copy]:
    """A branch on Neon as the copy, deleted at the end of the block; what a killed run left is deleted first.

    Args:
        environment: the environment's name.
        neon: the database.
        database: the same by its address.
    """
    from ops.worker.branches import rehearsal  # not everybody needs what it imports

    with rehearsal(neon, environment, database) as server:
        yield Copy(server, database.name(), f"a branch of {neon.branch}", beside=False)


@contextmanager
def copied(
    catalogue: Catalogue, database: Postgres, server: Postgres, jobs: int, schema_of: sql.Identifier | None = None
) -> Iterator[Copy]:
    """A copy of the database, dropped at the end of the block; what a killed run left is dropped first.

    On the database's own server, when nobody is connected to it, it is a clone; else the newest backup, restored.

    Args:
        catalogue: of its backups.
        database: the real one.
        server: to make the copy on.
        jobs: parallel jobs of pg_restore.
        schema_of: copy the schema alone, and the rows of this table, the engine's account; None: copy everything.
    """
    name = scratch_name(catalogue, "rehearsal")
    drop(server, name)
    beside = server.shares_server(database)
    if schema_of is not None:
        like = intact(catalogue.choose(None)).locale
        with Pulse(server.deadline, server, name) as pulse, created(server, name, like, pulse):
            copy_schema(database, server, name, schema_of, pulse)
            _settings(database, server, name)
            yield Copy(server, name, f"the schema of {database.name()} alone, without its rows", beside, rows=False)
        return
    if beside and _alone(database):
        with ExitStack() as stack:
            try:
                stack.enter_context(created(server, name, database.name(), None))
            except DatabaseError as error:
                say(f"no clone: {error.problem}")
            else:
                _settings(database, server, name)
                yield Copy(server, name, f"a clone of {database.name()}", beside)
                return
    backup = catalogue.choose(None)
    manifest = intact(backup)
    with Pulse(server.deadline, server, name) as pulse, created(server, name, manifest.locale, pulse):
        restore(catalogue.store, catalogue.key(backup.id, DUMP), manifest, server, name, jobs, OPTIONS, pulse)
        _settings(database, server, name)
        yield Copy(server, name, f"the backup {backup.id}, restored", beside)


def _settings(database: Postgres, server: Postgres, name: str) -> None:
    """What is set for the real database, such as its search_path, is set for the copy."""
    query = """
        SELECT split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1) FROM pg_db_role_setting s
          JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS entry
         WHERE d.datname = current_database()
           AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
         ORDER BY s.setrole
    """
    with closing(connect(database)) as connection:
        found = connection.execute(query).fetchall()
    with closing(connect(server)) as connection:
        for setting, value in found:
            try:
                connection.execute("SELECT set_config(%s, %s, false)", [setting, value])
                copy = sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT")
                connection.execute(copy.format(sql.Identifier(name), sql.SQL(setting)))
            except psycopg.Error as error:
                say(f"{setting} is not set for the copy: {failure(error).problem}")


def _alone(database: Postgres) -> bool:
    """Whether nobody else is connected to the real database; our own connections may take a moment to be gone."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with closing(connect(database)) as connection:
        for _ in range(_LOOKS):
            row = connection.execute(query).fetchone()
            if row == (0,):
                return True
            time.sleep(_PAUSE)
    return False
