"""What 200 checks by HTTP cost, asked of a server that answers in 100 ms, over pyinfra's own start.

    python -m bench.checks [--checks 200] [--rounds 7]

Runs ``pyinfra -y INVENTORY deploys/verify.py``, and the same inventory with a deploy that does nothing, one after the
other in every round. The last column is what the checks themselves saw of the server's 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import statistics
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.meter import Run, measure

LATENCY = 0.1
"""Seconds."""
TARGET = 1.5
"""Seconds that all checks may cost."""
_PYINFRA = str(Path(sysconfig.get_path("scripts")) / "pyinfra")
_INVENTORY = """
from ops import Directory, Environment, Http, Postgres

environment = Environment(
    name="bench",
    database=Postgres(host="127.0.0.1", database="bench", user="bench"),
    store=Directory(path="/tmp/bench"),
    checks=[
        Http(name=f"check {{number}}", url=f"{url}/{{number}}", equals={{"status": "healthy"}}, within=5)
        for number in range({checks})
    ],
)
runner = environment.group("@local")
"""


class _Answering(asyncio.Protocol):
    """The same to every request, after a while."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            asyncio.get_running_loop().call_later(LATENCY, self.transport.write, _ANSWER)


_BODY = b'{"status": "healthy"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


def _serve(told: Connection) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0, backlog=1024)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with suppress(KeyboardInterrupt):
        asyncio.run(forever())


@contextmanager
def _server() -> Iterator[str]:
    """Its URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def main() -> int:
    """Measure and print; 1 when the target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.checks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checks", type=int, default=200, help="how many (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="after the warm-up (default %(default)s)")
    options = parser.parse_args()
    plain, verified, seen = [], [], []
    with tempfile.TemporaryDirectory() as place, _server() as url:
        inventory, nothing, report = (Path(place) / name for name in ("inventory.py", "nothing.py", "report.json"))
        inventory.write_text(_INVENTORY.format(url=url, checks=options.checks))
        nothing.write_text('"""Do nothing."""\n')
        for turn in range(options.rounds + 1):
            without = measure([_PYINFRA, "-y", str(inventory), str(nothing)])
            with_checks = measure([_PYINFRA, "-y", str(inventory), "deploys/verify.py", "--data", f"report={report}"])
            print(
                f"{'warm-up' if turn == 0 else f'round {turn}':8} plain {without.seconds:5.2f} s"
                f"   verify {with_checks.seconds:5.2f} s",
                file=sys.stderr,
            )
            if turn:
                plain.append(without)
                verified.append(with_checks)
                seen += _latencies(report, options.checks)
    return _print(options.checks, plain, verified, seen)


def _latencies(report: Path, expected: int) -> list[float]:
    rows = [one for one in json.loads(report.read_text())["checks"] if not one["what"]]
    assert len(rows) == expected and all(one["outcome"] == "pass" for one in rows), rows
    return [float(found[1]) for one in rows if (found := re.search(r"in ([\d.]+) s", one["value"]))]


def _print(checks: int, plain: list[Run], verified: list[Run], seen: list[float]) -> int:
    table = Table(title=f"{checks} checks, {LATENCY:g} s each, {len(plain)} rounds", title_justify="left")
    for heading in ("what", "median s", "fastest", "slowest"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    extra = [one.seconds - other.seconds for one, other in zip(verified, plain, strict=True)]
    rows = {
        "pyinfra with an empty deploy": [run.seconds for run in plain],
        "pyinfra with deploys/verify.py": [run.seconds for run in verified],
        "the checks": extra,
        "one answer, as a check saw it": seen,
    }
    for what, seconds in rows.items():
        numbers = (statistics.median(seconds), min(seconds), max(seconds))
        table.add_row(what, *(f"{one:.2f}" for one in numbers))
    console = Console(width=100)
    console.print(table)
    met = statistics.median(extra) <= TARGET
    console.print(f"the checks may cost {TARGET:g} s: {'they do not cost more' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
