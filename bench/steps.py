"""The seconds of every step of a migration and of a restore with its swap, at a size that matters.

    python -m bench.steps [--megabytes 1300]

Once, while six clients read and write, each on a connection that it makes anew when it breaks: the longest time for
which one of them got no answer is what the swap costs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from bench.contenders import JOBS, Field
from ops.secrets import revealed

_WRITE = "INSERT INTO events (at, kind, payload) VALUES (now(), 'under load', '{}')"
_READ = "SELECT count(*) FROM customers"
# Rewrites the largest table, and indexes it.
_MIGRATION = """
ALTER TABLE events ADD COLUMN token text DEFAULT gen_random_uuid()::text;
CREATE INDEX events_customer ON events (customer_id);
"""
_BACK = "DROP INDEX events_customer; ALTER TABLE events DROP COLUMN token;"


class Clients:
    """Readers and writers, and the longest time for which one of them got no answer."""

    def __init__(self, url: dict[str, str]) -> None:
        self.longest = 0.0
        self.errors = 0
        self._url = url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(one,)) for one in 3 * [_WRITE, _READ]]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, statement: str) -> None:
        last, connection = time.monotonic(), None
        while not self._over.is_set():
            try:
                if connection is None:
                    connection = psycopg.connect(**self._url, autocommit=True)  # type: ignore[arg-type]
                connection.execute(statement)
            except psycopg.Error:
                self.errors += 1
                connection = None
                continue
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now
            time.sleep(0.01)
        if connection is not None:
            connection.close()


def main() -> int:
    """Measure once and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.steps", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1300, help="size of the database (default %(default)s)")
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as place, Field.prepared(Path(place), megabytes) as field:
        rows = [*_migrations(field, Path(place)), *_restore(field)]
        size = field.bytes_on_disk()
    table = Table(title=f"{size / 1e6:.0f} MB on disk", title_justify="left")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    for what, seconds in rows:
        table.add_row(what, f"{seconds:.2f}")
    Console(width=100).print(table)
    return 0


def _ask(field: Field, verb: str, **more: Any) -> tuple[dict[str, Any], float]:
    known = {"database": revealed(field.database), "server": revealed(field.database), "jobs": JOBS}
    run = field.ask(verb, **{**known, **more})
    answer: dict[str, Any] = json.loads(run.output)["answer"]
    if "error" in answer:
        raise SystemExit(f"{verb}: {answer['message']}")
    return answer, run.seconds


def _migrations(field: Field, place: Path) -> list[tuple[str, float]]:
    files = place / "migrations"
    files.mkdir()
    (files / "0001_token.sql").write_text(_MIGRATION)
    (files / "0001_token.down.sql").write_text(_BACK)
    migrations = {"kind": "sql", "directory": str(files), "longest_lock": 600, "environment": {}}
    found = []
    for how, busy in (("a clone", False), ("a restored backup", True)):
        with _somebody(field, busy):
            answer, seconds = _ask(field, "migrate", migrations=migrations, until="rehearsal", max_age=None)
        steps = {
            **answer["seconds"],
            **{f"rehearsal/{name}": took for name, took in answer["rehearsal"]["seconds"].items()},
        }
        found += [(f"migrate on {how}: {step}", took) for step, took in steps.items()]
        found.append((f"migrate on {how}: all of the rehearsal", seconds))
    answer, seconds = _ask(field, "migrate", migrations=migrations, until="proof")
    return [*found, ("migrate: apply and prove", answer["seconds"]["apply"]), ("migrate: all of it", seconds)]


@contextmanager
def _somebody(field: Field, busy: bool) -> Any:
    """Connected or not, which decides whether the database can be cloned."""
    if not busy:
        yield
        return
    with psycopg.connect(**field.database.parameters()):  # type: ignore[arg-type]
        yield


def _restore(field: Field) -> list[tuple[str, float]]:
    _, backup = _ask(field, "dump")
    _, drill = _ask(field, "drill")
    with Clients(field.database.parameters()) as clients:
        time.sleep(1)
        _, plan = _ask(field, "loss")
        beside, whole = _ask(field, "beside")
        during = clients.longest
        clients.longest = 0.0
        swap, swapping = _ask(field, "swap")
        time.sleep(1)
    steps = [(f"restore: beside: {step}", took) for step, took in beside["seconds"].items()]
    return [
        ("backup", backup),
        ("drill", drill),
        ("restore: plan", plan),
        *steps,
        ("restore: beside, all of it", whole),
        ("restore: swap, all of it", swapping),
        ("restore: the window of the swap", swap["window"]),
        (f"clients: longest without an answer at the swap ({clients.errors} errors)", clients.longest),
        ("clients: longest without an answer while it was restored beside", during),
    ]


if __name__ == "__main__":
    sys.exit(main())
