"""A copy of a database without its rows, for one that is too large to be copied whole."""

from __future__ import annotations

import tempfile
from contextlib import closing

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.worker import tools
from ops.worker.connection import connect, failure
from ops.worker.drill import OPTIONS
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
        with tempfile.TemporaryFile() as archive:
            arguments = ["--format=custom", "--schema-only", "--dbname=service=ops"]
            with started(pg_dump, arguments, database, pulse) as program:
                while piece := program.output.read(PIPE):
                    archive.write(piece)
                program.succeed()
            archive.flush()
            arguments = ["--exit-on-error", *OPTIONS, "--dbname=service=ops", f"/proc/self/fd/{archive.fileno()}"]
            with started(pg_restore, arguments, server, pulse, database=name, archive=archive) as program:
                program.succeed()
        try:
            _copy_rows(real, copy, account)
        except psycopg.Error as error:
            raise failure(error) from None


def _copy_rows(real: psycopg.Connection, copy: psycopg.Connection, table: sql.Identifier) -> None:
    row = real.execute("SELECT to_regclass(%s) IS NULL", [table.as_string(real)]).fetchone()
    if row == (True,):
        return
    with real.cursor() as source, copy.cursor() as sink:
        with (
            source.copy(sql.SQL("COPY {} TO STDOUT").format(table)) as rows,
            sink.copy(sql.SQL("COPY {} FROM STDIN").format(table)) as filled,
        ):
            for block in rows:
                filled.write(block)
