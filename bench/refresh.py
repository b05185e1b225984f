"""The seconds of every step of a refresh at a size that matters, held against the plain restore of the same backup.

python -m bench.refresh [--megabytes 1300]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from bench.contenders import JOBS, Field
from ops.masking import Masking
from ops.refresh import BackupOf, Refresh
from ops.sandbox.masking import TABLES
from ops.secrets import revealed

_STAGING = "shop_staging"


def main() -> int:
    """Measure once and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.refresh", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1300, help="size of the database (default %(default)s)")
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as place, Field.prepared(Path(place), megabytes) as field:
        plain, seconds = _measured(field)
        size = field.bytes_on_disk()
    table = Table(title=f"{size / 1e6:.0f} MB on disk", title_justify="left")
    for column in ("what", "seconds", "speed of the plain restore"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row("plain restore, two jobs", f"{plain:.2f}", "1.00")
    for step, took in seconds.items():
        table.add_row(f"refresh: {step}", f"{took:.2f}", f"{plain / took:.2f}" if step in ("mask", "all") else "")
    Console(width=100).print(table)
    return 0


def _measured(field: Field) -> tuple[float, dict[str, float]]:
    with closing(psycopg.connect(**field.database.parameters(), autocommit=True)) as connection:  # type: ignore[arg-type]
        connection.execute(f"CREATE DATABASE {_STAGING}")
    here = {"database": revealed(field.database), "server": revealed(field.database), "jobs": JOBS}
    _ask(field, "dump", **here)
    _ask(field, "drill", **here)
    # One after the other by each way: first what is read is in no cache yet.
    for turn in (1, 2):
        plain = _ask(field, "restore", **here, target=f"plain_{turn}")["seconds"]["restore"]
    refresh = Refresh(
        source=BackupOf(environment="bench", database=field.database.name(), store=field.store),
        masking=Masking(salt="a salt of the benchmark", tables=TABLES),
    )
    staging = field.database.model_copy(update={"database": _STAGING})
    known = {**here, "database": revealed(staging), "database_name": _STAGING}
    answer = _ask(field, "refresh", **known, refresh=revealed(refresh))
    return plain, answer["seconds"]


def _ask(field: Field, verb: str, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(field.ask(verb, **more).output)["answer"]
    if "error" in answer:
        raise SystemExit(f"{verb}: {answer['message']} {answer.get('report', '')}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
