"""A backup without some of its parts, to see what each costs: ``hash`` reads and hashes, ``upload`` also stores."""

from __future__ import annotations

import json
import sys
import time

from ops.database import Postgres
from ops.storage import S3
from ops.stores import open_store
from ops.worker import tools
from ops.worker.hashed import Hashed
from ops.worker.program import started
from ops.worker.progress import Meter
from ops.worker.pulse import Pulse

asked = json.loads(sys.stdin.readline())
database = Postgres(**asked["database"])
store = open_store(S3(**asked["store"]))
pg_dump = tools.for_dump(17, None)
with Pulse(300, database) as pulse:
    with started(pg_dump, ["--format=custom", "--compress=zstd:1", "--dbname=service=ops"], database, pulse) as program:
        dump = Hashed(program, Meter(), pulse)
        if asked["stage"] == "upload":
            key = f"stages/{time.time_ns()}"
            store.put(key, dump)
            store.delete([key])
        else:
            buffer = memoryview(bytearray(8 * 2**20))
            while dump.readinto(buffer):
                pass
