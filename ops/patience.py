"""Waiting for others only so long, whatever they do: a server that sends a byte now and then outlasts any timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, works: Sequence[Callable[[], T]]) -> list[T | None]:
    """Do several things at once; what is not done in time is left behind, and ends with the process at the latest.

    Args:
        seconds: for all of them.
        works: what is done; none of them may raise.

    Returns:
        What came of each; None: nothing in time.
    """
    done: dict[int, T] = {}

    def do(place: int, work: Callable[[], T]) -> None:
        done[place] = work()

    threads = [threading.Thread(target=do, args=each, daemon=True) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [done.get(place) for place in range(len(works))]
