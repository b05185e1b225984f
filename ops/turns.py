"""Whose turn it is in a roll over many hosts, and that nobody has one after the first failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets so many work at once, in the order in which they come, until one fails.

    Args:
        at_once: how many hosts.
    """

    def __init__(self, at_once: int) -> None:
        self._free = threading.Semaphore(at_once)
        self.failed = ""
        """Where it failed first; empty while it has not."""

    @contextmanager
    def one(self, who: str) -> Iterator[bool]:
        """Wait for a turn; False when there is none any more. What is raised in it is the failure.

        Args:
            who: is at work, in words.
        """
        with self._free:
            if self.failed:
                yield False
                return
            try:
                yield True
            except BaseException:
                self.failed = self.failed or who
                raise
