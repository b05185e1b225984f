"""A copy of a database without its rows, for one that is too large to be copied whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.worker import tools
from ops.worker.connection import connect, failure
from ops.worker.drill import OPTIONS
from ops.worker.piped import pipe
from ops.worker.program import PIPE, started
from ops.worker.pulse import Pulse


def copy_schema(database: Postgres, server: Postgres, name: str, account: sql.Identifier, pulse: Pulse) -> None:
    """Make an empty database what another one is but for its rows; those of one table come along.

    Args:
        database: the real one; only read.
        server: that of the copy.
        name: of the copy.
        account: the table whose rows come along: what the engine holds for applied. It need not be there.
        pulse: cuts what does not move.

    Raises:
        OpsError: one line; the copy must be dropped.
    """
    with closing(connect(database)) as real, closing(connect(server, name)) as copy:
        there = copy.info.server_version // 10000
        pg_dump = tools.for_dump(real.info.server_version // 10000, database.bin_dir)
        pg_restore = tools.for_restore(there, server.bin_dir)
        with dumped(pg_dump, database, pulse) as archive:
            arguments = ["--exit-on-error", *OPTIONS, "--dbname=service=ops", f"/proc/self/fd/{archive.fileno()}"]
            with started(pg_restore, arguments, server, pulse, database=name, archive=archive) as program:
                program.succeed()
        try:
            _copy_rows(real, copy, account, pulse)
        except psycopg.Error as error:
            raise failure(error) from None


@contextmanager
def dumped(pg_dump: tools.Tool, database: Postgres, pulse: Pulse) -> Iterator[IO[bytes]]:
    """The dump of a database's schema alone, in a file without a name on the runner.

    Args:
        pg_dump: of the server's version.
        database: only read.
        pulse: cuts what does not move.

    Raises:
        ToolError: it failed.
    """
    with tempfile.TemporaryFile() as archive:
        arguments = ["--format=custom", "--schema-only", "--dbname=service=ops"]
        with started(pg_dump, arguments, database, pulse) as program:
            while piece := program.output.read(PIPE):
                archive.write(piece)
            program.succeed()
        archive.flush()
        yield archive


def _copy_rows(real: psycopg.Connection, copy: psycopg.Connection, table: sql.Identifier, pulse: Pulse) -> None:
    name = table.as_string(real)
    if real.execute("SELECT to_regclass(%s) IS NULL", [name]).fetchone() == (True,):
        return
    pipe(real, f"COPY {name} TO STDOUT", copy, f"COPY {name} FROM STDIN", lambda size: pulse.beat())
