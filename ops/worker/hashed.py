"""pg_dump's output as a source for a store."""

from __future__ import annotations

import hashlib
import time
from typing import IO

from ops.errors import ToolError
from ops.worker.program import Program
from ops.worker.progress import Meter
from ops.worker.pulse import Pulse

MAGIC = b"PGDMP"
"""What every archive of pg_dump's custom format begins with."""
SMALL = 256 * 1024
"""Bytes; after a smaller read the pipe is given time to fill."""
PAUSE = 0.002
"""Seconds of that time; the pipe takes some 10 ms to fill."""


class Hashed:
    """Hashed on its way; its end only counts when the program succeeded.

    Args:
        program: the running pg_dump.
        meter: told of every byte.
        pulse: told that something moved.
    """

    def __init__(self, program: Program, meter: Meter, pulse: Pulse) -> None:
        self._program = program
        self._output: IO[bytes] = program.output
        self._meter = meter
        self._pulse = pulse
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of all that was read."""
        return self._hash.hexdigest()

    def readinto(self, buffer: memoryview, /) -> int:
        """As ``Source`` says.

        Raises:
            ToolError: pg_dump failed, or what it writes is no dump.
        """
        self._pulse.resume()
        got: int = self._output.readinto(buffer)  # type: ignore[attr-defined]
        if got == 0:
            self._program.succeed()
            if self.size == 0:
                raise ToolError(f"{self._program.name} wrote nothing and called it done", "Look at that program")
            self._pulse.pause()
            return 0
        piece = buffer[:got]
        if self.size == 0 and not bytes(piece[:5]).startswith(MAGIC[: len(piece)]):
            raise ToolError(f"{self._program.name} wrote something that is no dump", "Look at that program")
        self._hash.update(piece)
        self.size += got
        self._meter.moved = self.size
        if got < SMALL:
            # Let the pipe fill: waking for each of pg_dump's small writes costs a fifth of the whole dump.
            time.sleep(PAUSE)
        self._pulse.pause()
        return got
