"""A dump restored section by section, as far as what is in it may get into another environment."""

from __future__ import annotations

import re
import subprocess
import tempfile
from contextlib import closing
from typing import IO

from ops.database import Postgres
from ops.errors import ToolError
from ops.worker import tools
from ops.worker.connection import connect
from ops.worker.drill import OPTIONS
from ops.worker.progress import Meter
from ops.worker.pulse import Pulse
from ops.worker.restore import from_file

# As ``pg_restore --list`` shows them. Statistics are in dumps since PostgreSQL 18, most common values among them. A
# user mapping holds the password with which staging would read, and write, what is behind production's foreign tables.
_LEFT_OUT = re.compile(
    rb"\d+; \d+ \d+ (BLOBS? |BLOB METADATA |(ACL|COMMENT|SECURITY LABEL) - LARGE OBJECTS? |"
    rb"STATISTICS DATA |USER MAPPING )"
)
_COPYING = re.compile(r'COPY failed for table ("(?:[^"]|"")+")')


def restore_section(
    section: str, archive: IO[bytes], written: int, server: Postgres, database: str, jobs: int, pulse: Pulse
) -> None:
    """Restore one section of a dump, but for large objects, statistics and passwords of foreign servers.

    Args:
        section: ``pre-data``, ``data``, ``post-data``; or ``schema``: all but the rows.
        archive: the dump.
        written: major version of the pg_dump that wrote it.
        server: where.
        database: into which.
        jobs: parallel ones.
        pulse: cuts it when nothing moves.

    Raises:
        ToolError: it failed.
    """
    with closing(connect(server, watched=pulse.cuts)) as connection:
        major = connection.info.server_version // 10000
    if written > major:
        raise ToolError(
            f"the dump was written by pg_dump {written}, which pg_restore {major} cannot read",
            "The server must not be older than the one that the data comes from",
        )
    which = "--schema-only" if section == "schema" else f"--section={section}"
    arguments = ["--exit-on-error", "--verbose", *OPTIONS, which, "--dbname=service=ops"]
    tool = tools.for_restore(major, server.bin_dir)
    with tempfile.NamedTemporaryFile() as contents:
        contents.writelines(line for line in _contents(tool, archive) if not _LEFT_OUT.match(line))
        contents.flush()
        arguments.append(f"--use-list={contents.name}")
        try:
            from_file(tool, arguments, server, database, pulse, archive, jobs, Meter())
        except ToolError as error:
            table = _COPYING.search(error.problem)
            if table is None:
                raise
            # What comes after that may quote a value.
            raise ToolError(
                f"the rows of {table[1]} cannot be restored: pg_restore failed", "The server's log says why"
            ) from None


def _contents(pg_restore: tools.Tool, archive: IO[bytes]) -> list[bytes]:
    """The dump's table of contents, a line for each part, in whatever encoding names are."""
    listed = subprocess.run(
        [pg_restore.path, "--list", f"/proc/self/fd/{archive.fileno()}"],
        pass_fds=[archive.fileno()],
        capture_output=True,
        timeout=600,
    )
    if listed.returncode:
        raise ToolError(
            f"pg_restore cannot list the dump: {listed.stderr.decode(errors='replace').strip()}",
            "Look at the backup: pyinfra … deploys/drill.py",
        )
    return listed.stdout.splitlines(keepends=True)
