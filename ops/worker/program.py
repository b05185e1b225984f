"""A program of PostgreSQL as a child process: its credentials, its last words, its end."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from ops.database import Postgres
from ops.errors import ToolError
from ops.worker.connection import credentials
from ops.worker.hints import hint
from ops.worker.pulse import Pulse
from ops.worker.tools import Tool

PIPE = 1024 * 1024
"""Bytes of the pipes, because pg_dump writes in small pieces."""


class Program:
    """A running program of PostgreSQL, its last words kept."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], pulse: Pulse) -> None:
        self.name = name
        self.process = process
        self._pulse = pulse
        self._words: deque[str] = deque(maxlen=30)
        self._listener = threading.Thread(target=self._listen, name=f"{name} says", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._pulse.beat()
            self._words.append(line.decode(errors="replace").strip())

    @property
    def output(self) -> IO[bytes]:
        """Its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout

    def last_word(self) -> str:
        """What it said last."""
        return self._words[-1].partition(": ")[2] if self._words else "no word yet"

    def succeed(self) -> None:
        """Wait for its end.

        Raises:
            ToolError: it failed; carries its own first complaint.
        """
        status = self.process.wait()
        self._listener.join(timeout=5)
        if status == 0:
            return
        complaints = [word for word in self._words if "error:" in word or "FATAL" in word or "fatal:" in word]
        detail = [word.partition("detail:")[2].strip() for word in self._words if "detail:" in word]
        said = " ".join((complaints or list(self._words) or ["it said nothing"])[:1] + detail[:1])
        ended = f"was killed by signal {-status}" if status < 0 else f"failed with exit code {status}"
        raise ToolError(f"{self.name} {ended}: {said.removeprefix(f'{self.name}: error: ')}", hint(said))


@contextmanager
def started(
    tool: Tool,
    arguments: list[str],
    server: Postgres,
    pulse: Pulse,
    *,
    database: str | None = None,
    archive: IO[bytes] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[Program]:
    """Run a program, which finds its server as ``service=ops``; it does not outlive the block.

    Args:
        tool: the program.
        arguments: its arguments, without any secret.
        server: the server it connects to.
        pulse: cuts it when nothing moves.
        database: the database, when it is not the server's own.
        archive: a file that it inherits.
        stdin: as ``subprocess`` says.
    """
    inherited = (archive.fileno(),) if archive else ()
    with credentials(server, database) as (environment, descriptors):
        process = subprocess.Popen(
            [tool.path, *arguments],
            env=environment,
            pass_fds=(*descriptors, *inherited),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pipesize=PIPE,
        )
    pulse.cuts(process.kill)
    try:
        yield Program(tool.name, process, pulse)
    finally:
        process.kill()
        process.wait()
