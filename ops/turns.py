"""Whose turn it is in a roll over many hosts, and that nobody has one after the first failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets so many work at once, in the order of their rank, until one fails.

    Nobody has a turn while another is still looking whether there is anything to do: what is wrong anywhere is found
    before anything is changed anywhere.

    Args:
        at_once: how many.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._changed = threading.Condition()
        self._queue: list[tuple[int, str]] = []
        self._looking: set[str] = set()
        self.failed = ""
        """Who failed first; empty while nobody has."""

    @contextmanager
    def queued(self, who: str, rank: int) -> Iterator[None]:
        """Be in the queue, until it is known that there is nothing to do, or it is done.

        Args:
            who: in words; no two alike.
            rank: the lower, the sooner.
        """
        with self._changed:
            self._queue.append((rank, who))
            self._queue.sort()
            self._looking.add(who)
        try:
            yield
        except Exception:
            self.failed = self.failed or who
            raise
        finally:
            self._leave(who)

    @contextmanager
    def one(self, who: str) -> Iterator[bool]:
        """Wait for the turn; False when there is none any more. What is raised in it is the failure.

        Args:
            who: is in the queue.
        """
        try:
            with self._changed:
                self._looking.discard(who)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self.failed or self._is_next(who))
            yield not self.failed
        except BaseException:
            self.failed = self.failed or who
            raise
        finally:
            self._leave(who)

    def _is_next(self, who: str) -> bool:
        return not self._looking and who in [one for _, one in self._queue[: self._at_once]]

    def _leave(self, who: str) -> None:
        with self._changed:
            self._looking.discard(who)
            self._queue = [place for place in self._queue if place[1] != who]
            self._changed.notify_all()
