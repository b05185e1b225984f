"""The proof of a restore: every table's rows, the schema and the sequences, held against the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg

from ops.database import Postgres
from ops.worker.connection import connect, failure
from ops.worker.fingerprint import differences, fingerprint, sequence_differences, sequences
from ops.worker.manifest import Manifest
from ops.worker.pulse import Pulse
from ops.worker.rows import Name, count, large_objects, tables

# What every new database has, and a restore does not take away.
_FROM_TEMPLATE = ("schema public is not in the manifest", "extension plpgsql is not in the manifest")


def compared(manifest: Manifest, server: Postgres, database: str, jobs: int, pulse: Pulse) -> Iterator[str]:
    """Every difference between a restored database and the manifest, the worst first.

    Args:
        manifest: of the backup that was restored.
        server: where.
        database: into which.
        jobs: connections that count rows at the same time.
        pulse: cuts what does not move.
    """
    try:
        with closing(connect(server, database, pulse.cuts)) as connection:
            names = tables(connection)
            found = _count(server, database, names, jobs, pulse)
            for table in manifest.tables:
                rows = found.pop(Name(table.schema_name, table.name), None)
                if rows is None:
                    yield f"table {table} is missing"
                elif rows != table.rows:
                    yield f"table {table} has {rows} rows, the manifest says {table.rows}"
            yield from (f"table {name} is not in the manifest" for name in found)
            objects = large_objects(connection)
            if objects != manifest.large_objects:
                yield f"there are {objects} large objects, the manifest says {manifest.large_objects}"
            schema = differences(manifest.fingerprint, fingerprint(connection))
            yield from (difference for difference in schema if difference not in _FROM_TEMPLATE)
            yield from sequence_differences(manifest.sequences, sequences(connection))
    except psycopg.Error as error:
        raise failure(error, server.parameters()) from None


def _count(server: Postgres, database: str, names: list[Name], jobs: int, pulse: Pulse) -> dict[Name, int]:
    def share(part: list[Name]) -> dict[Name, int]:
        with closing(connect(server, database, pulse.cuts)) as connection:
            return count(connection, part, lambda name: pulse.beat())

    with ThreadPoolExecutor(jobs) as counters:
        shares = counters.map(share, [names[first::jobs] for first in range(jobs)])
        return {name: rows for part in shares for name, rows in part.items()}
