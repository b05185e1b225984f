"""Restore a backup into a new database, beside whatever is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, Any

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.errors import DatabaseError, OpsError, ToolError
from ops.stores import Store, open_store
from ops.worker import tools
from ops.worker.catalogue import DUMP, Catalogue
from ops.worker.check import intact, read
from ops.worker.connection import connect, failure
from ops.worker.manifest import Locale, Manifest, StoredFile
from ops.worker.program import started
from ops.worker.progress import Meter, reporting, say
from ops.worker.pulse import Pulse
from ops.worker.request import Request

LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts longer names."""
DROP_TRIES = 4
"""The server itself waits 5 seconds each time for others to leave a database."""


def run(request: Request) -> dict[str, Any]:
    """Restore a backup, whole or not at all, into a database that must not exist yet.

    Raises:
        OpsError: one line; the new database is gone again.
    """
    assert request.server is not None and request.target is not None
    store = open_store(request.store)
    catalogue = Catalogue(store, request.environment, request.database_name)
    backup = catalogue.choose(request.backup)
    manifest = intact(backup)
    key = catalogue.key(backup.id, DUMP)
    with Pulse(request.server.deadline, request.server, request.target) as pulse:
        with created(request.server, request.target, manifest.locale, pulse) as keep:
            seconds = restore(store, key, manifest, request.server, request.target, request.jobs, [], pulse)
            keep()
    return {"backup": backup.to_json(), "database": request.target, "seconds": seconds}


@contextmanager
def created(server: Postgres, name: str, like: Locale | str, pulse: Pulse | None) -> Iterator[Any]:
    """A new database; dropped at the end of the block unless it is to be kept.

    Args:
        server: where.
        name: its name.
        like: how the one sorted and encoded that was dumped, which makes it empty; or the name of a database on the
            same server to which nobody is connected, which makes it a copy.
        pulse: cuts it when nothing moves; a copy has none, because it is itself connected to the one copied.

    Yields:
        Call it to keep the database.
    """
    if len(name.encode()) > LONGEST_NAME:
        raise DatabaseError(f"the name {name} has more than {LONGEST_NAME} bytes", "Choose a shorter one")
    with closing(connect(server, watched=pulse.cuts if pulse else None)) as connection:
        try:
            _wait_for_others(connection, name)
            _create(connection, name, like)
        except psycopg.errors.DuplicateDatabase:
            raise DatabaseError(
                f"the database {name} exists already on {server.parameters()['host']}",
                "Nothing is restored over a database: choose another name, or drop it yourself",
            ) from None
        except psycopg.Error as error:
            raise failure(error, server.parameters()) from None
    kept: list[str] = []
    try:
        yield lambda: kept.append(name)
    except BaseException:
        # The failure that led here is the one to be told as the answer.
        try:
            drop(server, name, pulse)
        except OpsError as left:
            say(str(left))
        raise
    if not kept:
        drop(server, name, pulse)


def drop(server: Postgres, name: str, pulse: Pulse | None = None) -> None:
    """Drop a database that we made; end our own role's connections to it, and wait a while for others to go.

    Not ``WITH (FORCE)``, which a role that is no superuser is refused as soon as autovacuum looks at the database.
    Without it the server sends autovacuum away by itself.

    Raises:
        DatabaseError: it is still there; says who uses it and how to drop it by hand.
    """
    quoted = sql.Identifier(name)
    try:
        with closing(connect(server, watched=pulse.cuts if pulse else None)) as connection:
            _wait_for_others(connection, name)
            for _ in range(DROP_TRIES):
                try:
                    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(quoted))
                    return
                except psycopg.errors.ObjectInUse:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = %s AND usename = current_user",
                        [name],
                    )
            users = "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = %s"
            reason = f"it is used by {', '.join(str(user) for (user,) in connection.execute(users, [name]))}"
    except psycopg.Error as error:
        reason = failure(error).problem
    except OpsError as error:
        reason = error.problem
    raise DatabaseError(
        f"the database {name} could not be dropped: {reason}", f'Type in psql: DROP DATABASE "{name}" WITH (FORCE)'
    )


def _wait_for_others(connection: psycopg.Connection, name: str) -> None:
    """The server may still be making or dropping a database for a run that was killed. Ends with the connection."""
    connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])


def _create(connection: psycopg.Connection, name: str, locale: Locale | str) -> None:
    """From template0, with the same encoding and sorting, as far as this server knows them; or as a copy."""
    if isinstance(locale, str):
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(locale))
        connection.execute(copy)
        return
    options: list[sql.Composable] = [sql.SQL("TEMPLATE template0 ENCODING {}").format(sql.Literal(locale.encoding))]
    options.append(sql.SQL("LC_COLLATE {} LC_CTYPE {}").format(sql.Literal(locale.collate), sql.Literal(locale.ctype)))
    if locale.provider == "i" and locale.locale:
        options.append(sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(locale.locale)))
    elif locale.provider == "b" and locale.locale:
        options.append(sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(sql.Literal(locale.locale)))
    elif connection.info.server_version >= 150000:
        options.append(sql.SQL("LOCALE_PROVIDER libc"))
    connection.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), sql.SQL(" ").join(options)))


def restore(
    store: Store,
    key: str,
    manifest: Manifest,
    server: Postgres,
    database: str,
    jobs: int,
    options: list[str],
    pulse: Pulse,
) -> dict[str, float]:
    """Fill an empty database from a dump, whose size and hash are checked before or while it is read.

    With room for the dump in the temporary directory it is fetched first, into a file without a name, and restored
    by parallel jobs; without, it is streamed, and pg_restore then has but one job.

    Returns:
        Seconds: ``fetch`` and ``restore``, the latter including the former.

    Raises:
        OpsError: one line; the database is half full and must be dropped.
    """
    with closing(connect(server, watched=pulse.cuts)) as connection:
        major = connection.info.server_version // 10000
    if int(manifest.pg_dump_version.partition(".")[0]) > major:
        raise ToolError(
            f"the dump was written by pg_dump {manifest.pg_dump_version}, which pg_restore {major} cannot read",
            f"Restore it onto a newer server, and install postgresql-client-{major} on the runner for the next dump",
        )
    pg_restore = tools.for_restore(major, server.bin_dir)
    arguments = ["--exit-on-error", "--verbose", *options, "--dbname=service=ops"]
    meter = Meter(manifest.dump.size)
    roomy = shutil.disk_usage(tempfile.gettempdir()).free > manifest.dump.size * 1.1 + 64e6
    if not roomy:
        say(f"no room for {manifest.dump.size / 1e6:.0f} MB in {tempfile.gettempdir()}: streaming, with one job")
        with reporting(lambda: f"restored {meter}"):
            _from_stream(pg_restore, arguments, server, database, pulse, store, key, manifest, meter)
        return {"fetch": 0.0, "restore": round(meter.seconds(), 3)}
    with fetched(store, key, manifest.dump, meter, pulse) as archive:
        seconds = meter.seconds()
        say(f"restoring into {database} with {pg_restore.name} {pg_restore.version}, {jobs} jobs")
        from_file(pg_restore, arguments, server, database, pulse, archive, jobs, meter)
    return {"fetch": round(seconds, 3), "restore": round(meter.seconds(), 3)}


@contextmanager
def fetched(store: Store, key: str, file: StoredFile, meter: Meter, pulse: Pulse) -> Iterator[IO[bytes]]:
    """A dump in a file without a name on the runner, its size and hash checked.

    Args:
        store: where it lies.
        key: under which.
        file: what the manifest says of it.
        meter: counts what has come.
        pulse: of the database, which is not waited for meanwhile.

    Raises:
        OpsError: one line.
    """
    with tempfile.TemporaryFile() as archive:
        pulse.pause()
        try:
            with reporting(lambda: f"fetched {meter}"):
                read(store, key, file, meter, archive.write)
                archive.flush()
        except OSError as error:
            raise ToolError(
                f"the dump cannot be fetched into {tempfile.gettempdir()}: {error.strerror}",
                "Free space there, or name another directory in TMPDIR",
            ) from None
        finally:
            pulse.resume()
        say(f"fetched {meter}, hash right")
        yield archive


def from_file(
    tool: tools.Tool,
    arguments: list[str],
    server: Postgres,
    database: str,
    pulse: Pulse,
    archive: IO[bytes],
    jobs: int,
    meter: Meter,
) -> None:
    """Restore from an archive on the runner.

    Args:
        tool: pg_restore.
        arguments: its options.
        server: where.
        database: into which.
        pulse: cuts it when nothing moves.
        archive: the dump.
        jobs: parallel ones.
        meter: knows since when.

    Raises:
        ToolError: it failed.
    """
    command = [f"--jobs={jobs}", *arguments, f"/proc/self/fd/{archive.fileno()}"]
    with started(tool, command, server, pulse, database=database, archive=archive) as program:
        with reporting(lambda: f"restoring for {meter.seconds():.0f} s: {program.last_word()}"):
            program.succeed()


def _from_stream(
    tool: tools.Tool,
    arguments: list[str],
    server: Postgres,
    database: str,
    pulse: Pulse,
    store: Store,
    key: str,
    manifest: Manifest,
    meter: Meter,
) -> None:
    near, far = os.pipe()
    with started(tool, arguments, server, pulse, database=database, stdin=near) as program:
        os.close(near)
        with os.fdopen(far, "wb") as pipe:

            def pipe_on(piece: bytes) -> None:
                pipe.write(piece)
                pulse.beat()

            try:
                read(store, key, manifest.dump, meter, pipe_on)
            except BrokenPipeError:
                program.succeed()  # it ended before the dump did, and says why
                raise
        program.succeed()
