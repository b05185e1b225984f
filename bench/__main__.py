"""Speed and memory of backup and drill, against PostgreSQL's own programs and the shell line of runbooks.

    python -m bench [--megabytes 1300] [--rounds 5] [--json FILE]

All of it in one run, interleaved, so that the ratios hold whatever else the machine does. Needs nothing but the
project's own virtual environment: the servers are the sandbox's, in a temporary directory that is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.contenders import CONTENDERS, Field
from bench.meter import Run


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as place, Field.prepared(Path(place), options.megabytes) as field:
        runs: dict[str, list[Run]] = {name: [] for name in CONTENDERS}
        for turn in range(options.rounds + 1):
            for name, contender in CONTENDERS.items():
                run = contender(field)
                print(
                    f"{'warm-up' if turn == 0 else f'round {turn}':8} {name:34} {run.seconds:7.2f} s", file=sys.stderr
                )
                if turn:
                    runs[name].append(run)
        disk = field.bytes_on_disk()
    _print(runs, disk)
    if options.json:
        Path(options.json).write_text(
            json.dumps({name: [run.to_json() for run in some] for name, some in runs.items()})
        )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--megabytes", type=int, default=1300, help="size of the database on disk (default %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds after the warm-up (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write every single run to FILE")
    return parser.parse_args()


def _print(runs: dict[str, list[Run]], disk: int) -> None:
    console = Console(width=110)
    table = Table(title=f"{disk / 1e6:.0f} MB on disk, {len(runs['backup'])} rounds", title_justify="left")
    for heading in ("what", "seconds", "ratio", "spread", "against", "MB written", "peak MB of each process"):
        table.add_column(heading, justify="left" if heading in ("what", "against") or "peak" in heading else "right")
    for name, some in runs.items():
        against = CONTENDERS[name].against
        ratios = [run.seconds / base.seconds for run, base in zip(some, runs[against], strict=True)]
        peaks = {process: max(run.peaks.get(process, 0) for run in some) for run in some for process in run.peaks}
        table.add_row(
            name,
            f"{statistics.median(run.seconds for run in some):.2f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}–{max(ratios):.2f}",
            against,
            f"{some[-1].bytes / 1e6:.1f}" if some[-1].bytes else "",
            ", ".join(f"{process} {peak / 2**20:.0f}" for process, peak in sorted(peaks.items())),
        )
    console.print(table)
    shell = [a.seconds / b.seconds for a, b in zip(runs["backup"], runs["shell line"], strict=True)]
    console.print(f"backup against the shell line: {statistics.median(shell):.2f} ({min(shell):.2f}–{max(shell):.2f})")


if __name__ == "__main__":
    sys.exit(main())
