"""A server that keeps running after the process that started it has ended."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, ClassVar

from ops.errors import ToolError
from ops.sandbox import privileges
from ops.sandbox.ports import free, is_free

# The program writes its own process id, before it becomes the server, into the file that it holds locked:
# whenever the lock is held, the id is there or about to be.
_WRITE_OWN_PID = 'echo $$ >&0; exec "$@"'
_PORT_TAKEN = re.compile(r"port \d+ .*is not available|[Aa]ddress already in use")
"""The last word of a server that found its port taken."""


class Server(ABC):
    """One server and its directory, which holds ``data/``, ``log`` and ``pid``.

    The running server holds a lock on the file ``pid``. So it is known to run as long as it does, by every
    process, and never mistaken for a program that got the same process id later.

    Args:
        directory: made when it does not exist; its parent must exist.
        ports: the ports to listen on, by what they are for; where one is not free at the start, another is taken.
    """

    name: ClassVar[str]
    _end: ClassVar[signal.Signals]
    _patience: ClassVar[float] = 120  # seconds until it serves; a busy disk can take most of them
    _grace: ClassVar[float] = 60  # seconds to end in order
    _offsets: ClassVar[tuple[int, ...]] = (0,)  # of the ports that come with each of its ports

    def __init__(self, directory: Path, ports: dict[str, int]) -> None:
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.ports = ports
        self._pid_file = self.directory / "pid"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the server, or any of its processes, is alive."""
        try:
            with self._pid_file.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it does not run."""
        while self.running:
            with suppress(ValueError):
                return int(self._pid_file.read_text())
            time.sleep(0.005)
        return None

    def start(self) -> None:
        """Start it unless it runs, and wait until it serves.

        Raises:
            ToolError: it cannot be started; the message quotes the last line of its log.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it unless it runs, and do not wait.

        Raises:
            ToolError: a program is missing, or another process is just starting the same server.
        """
        if self.running:
            return
        self._bury()
        self.directory.mkdir(exist_ok=True)
        self._prepare()
        self._replace_taken_ports()
        command, options = privileges.drop(self._command(), reach=[self.data])
        with self._pid_file.open("a+b") as pid_file, self.log.open("ab") as log:
            self._lock(pid_file)
            pid_file.truncate(0)
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WRITE_OWN_PID, "sh", *command],
                **options,
                stdin=pid_file,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._environment(),
                start_new_session=True,
            )

    def _bury(self) -> None:
        """See that nothing is left of the process that was the server: PostgreSQL takes even a zombie for one.

        A process lets go of its files, by which we know it, before it is gone.
        """
        if self._process is not None:
            self._process.wait()
        with suppress(FileNotFoundError, ValueError):
            pid = int(self._pid_file.read_text())
            deadline = time.monotonic() + 5
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                if not self._is_ending(pid):
                    return
                time.sleep(0.01)

    def _is_ending(self, pid: int) -> bool:
        """Whether a process has no files any more, or is a zombie; else the number is somebody else's by now."""
        try:
            return not Path(f"/proc/{pid}/exe").exists() or not any(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return Path(f"/proc/{pid}").exists()

    def wait(self) -> None:
        """Wait until it serves.

        Raises:
            ToolError: it ended, or does not serve in time; then it is stopped.
        """
        deadline = time.monotonic() + self._patience
        while not self._serves():
            if time.monotonic() > deadline:
                self.stop()
                raise self._failure(f"did not serve within {self._patience:.0f} s")
            if not self.running:
                free_again = all(is_free(port, self._offsets) for port in self.ports.values())
                if free_again and not _PORT_TAKEN.search(self._last_word()):
                    raise self._failure("did not start")
                # Somebody took a port between our look and the server's, perhaps for a moment only.
                self.launch()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, in order if it can be, and wait until it is gone. Nothing to do when it does not run."""
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, self._end)
            if not self._gone(within=self._grace):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self._gone(within=self._grace)
        if self._process is not None:
            self._process.wait()

    def _gone(self, within: float) -> bool:
        deadline = time.monotonic() + within
        while self.running and time.monotonic() < deadline:
            time.sleep(0.01)
        return not self.running

    def _lock(self, file: BinaryIO) -> None:
        """Somebody who only looks whether the server runs holds the lock for a moment too."""
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.005)
        raise ToolError(f"{self.name} in {self.directory} is just being started by another process", "Try again")

    def _replace_taken_ports(self) -> None:
        for use, port in self.ports.items():
            if not is_free(port, self._offsets):
                self.ports[use] = free(set(self.ports.values()), self._offsets)

    def _failure(self, what: str) -> ToolError:
        return ToolError(f"{self.name} {what}: {self._last_word()}", f"See {self.log}")

    def _last_word(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote no log")

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data directory when there is none."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command line that becomes the server."""

    @abstractmethod
    def _environment(self) -> dict[str, str]:
        """The server's environment: nothing of ours is handed down, which may hold secrets and PG… settings."""

    @abstractmethod
    def _serves(self) -> bool:
        """Whether it does now what it is for."""
