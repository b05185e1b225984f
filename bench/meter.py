"""Measuring one command: wall time, and the peak memory of each of its processes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil


@dataclass
class Run:
    """One measured run: seconds, bytes that it wrote, and each process's peak resident memory in bytes."""

    seconds: float
    bytes: int = 0
    peaks: dict[str, int] = field(default_factory=dict)
    output: str = ""

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "output"}


def measure(command: Sequence[str] | str, *, stdin: str = "", env: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end; a shell line when it is a string. Fails loudly when it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", command] if isinstance(command, str) else command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    peaks: dict[str, int] = {}
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks, over))
    watcher.start()
    output, errors = process.communicate(stdin)
    seconds = time.monotonic() - began
    over.set()
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{command} failed: {output}{errors}")
    return Run(seconds, peaks=peaks, output=output)


def _watch(pid: int, peaks: dict[str, int], over: threading.Event) -> None:
    """The kernel keeps each process's high-water mark; reading it often enough misses only its last moment."""
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        while not over.wait(0.05):
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.Error, OSError, StopIteration):
                    name = process.name()
                    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                    peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024
                    peaks[name] = max(peaks.get(name, 0), peak)
