"""Whose turn it is in a roll over many hosts, and that nobody has one after the first failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

Rank = tuple[bool, int]
"""Whether it is well, and its place in the inventory: who serves nobody anyway comes first."""


class Turns:
    """Lets so many work at once, in the order of their rank, until one fails.

    Nobody has a turn while another is still looking whether there is anything to do: what is wrong anywhere is found
    before anything is changed anywhere.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[tuple[Rank, str]] = []
        self._looking: set[str] = set()
        self.failed = ""
        """Who failed first; empty while nobody has."""

    @contextmanager
    def queued(self, who: str) -> Iterator[None]:
        """Be in the queue, until it is known that there is nothing to do, or it is done.

        Args:
            who: in words; no two alike.
        """
        with self._changed:
            self._looking.add(who)
        try:
            yield
        except Exception:
            self.failed = self.failed or who
            raise
        finally:
            self._leave(who)

    @contextmanager
    def one(self, who: str, rank: Rank, at_once: int) -> Iterator[None]:
        """Wait for the turn, or until somebody has failed, which is to be looked at. What is raised in it is a failure.

        Args:
            who: has looked.
            rank: the lower, the sooner.
            at_once: how many may work at the same time.
        """
        try:
            with self._changed:
                self._queue.append((rank, who))
                self._queue.sort()
                self._looking.discard(who)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self.failed or self._is_next(who, at_once))
            yield
        except BaseException:
            self.failed = self.failed or who
            raise
        finally:
            self._leave(who)

    def _is_next(self, who: str, at_once: int) -> bool:
        return not self._looking and who in [one for _, one in self._queue[:at_once]]

    def _leave(self, who: str) -> None:
        with self._changed:
            self._looking.discard(who)
            self._queue = [place for place in self._queue if place[1] != who]
            self._changed.notify_all()
