"""Progress: a line on standard error when a step begins, and one every few seconds while it lasts."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ops.errors import printable
from ops.worker import MARK

INTERVAL = 3.0
"""Seconds between two lines of a long step."""


def say(line: str) -> None:
    """Print one line. When nobody reads any more, the one who asked is gone: end this worker in good order."""
    try:
        print(f"{MARK}{printable(line)}", file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def reporting(line: Callable[[], str]) -> Iterator[None]:
    """While the block runs, say what ``line`` answers every few seconds."""
    over = threading.Event()

    def report() -> None:
        while not over.wait(INTERVAL):
            say(line())

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Write down the seconds that the block takes, however it ends.

    Args:
        seconds: of each step.
        step: the name of this one.
    """
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[step] = round(time.monotonic() - began, 3)


class Meter:
    """Counts bytes and gives their rate.

    Args:
        total: how many bytes there will be; 0 when nobody knows.
    """

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.moved = 0
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def __str__(self) -> str:
        rate = self.moved / 1e6 / max(self.seconds(), 1e-3)
        of = f" of {self.total / 1e6:.1f}" if self.total else ""
        return f"{self.moved / 1e6:.1f}{of} MB, {rate:.1f} MB/s"
