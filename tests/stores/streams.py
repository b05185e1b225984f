"""Streams as sources for a put."""

from __future__ import annotations

import random


def content(size: int) -> bytes:
    """Bytes in which no two places look alike."""
    return random.Random(size).randbytes(size)


class Stream:
    """Gives its bytes in pieces of at most ``step``, then ends, or fails.

    Args:
        data: all of it.
        step: bytes at once.
        failure: raised at the end, as a pg_dump that dies.
    """

    def __init__(self, data: bytes, step: int = 1 << 30, failure: BaseException | None = None) -> None:
        self._rest = memoryview(data)
        self._step = step
        self._failure = failure

    def readinto(self, buffer: memoryview, /) -> int:
        count = min(len(buffer), len(self._rest), self._step)
        if count == 0 and self._failure is not None:
            raise self._failure
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
