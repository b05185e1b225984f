"""The real command line, as an operator or a timer types it in the project's root."""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sshd import Remote

from ops.environment import Environment, root
from ops.secrets import revealed

PYINFRA = Path(sysconfig.get_path("scripts")) / "pyinfra"


@dataclass
class CommandLine:
    """``pyinfra`` with a home and an inventory of the test's own.

    Args:
        directory: where the inventory is written, and where its ``$HOME`` is.
        entrance: words before it, which lead to where the hosts can be reached.
    """

    directory: Path
    entrance: tuple[str, ...] = ()
    inventory: Path = field(init=False)

    def __post_init__(self) -> None:
        self.inventory = self.directory / "inventory.py"

    def describe(self, environment: Environment, **groups: list[Remote | tuple[str, dict[str, Any]] | str]) -> None:
        """Write the inventory: an environment, secrets in clear, and groups of hosts."""
        lines = ["from ops import Environment", f"environment = Environment(**{revealed(environment)!r})"]
        for name, hosts in groups.items():
            listed = [(host.name, host.data) if isinstance(host, Remote) else host for host in hosts]
            lines.append(f"{name} = environment.group(*{listed!r})")
        self.inventory.write_text("\n".join(lines) + "\n")

    def run(self, *words: str, yes: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self._words(words, yes),
            cwd=root(),
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    @contextmanager
    def begun(self, *words: str) -> Iterator[Begun]:
        """Start it in a process group of its own, as a shell does."""
        with subprocess.Popen(
            self._words(words, yes=True),
            cwd=root(),
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                yield Begun(process)
            finally:
                process.kill()

    def _words(self, words: tuple[str, ...], yes: bool) -> list[str]:
        entrance = [*self.entrance, "env", "-C", str(root())] if self.entrance else []
        return [*entrance, str(PYINFRA), *(["-y"] if yes else []), str(self.inventory), *words]

    def _variables(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8"}


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """What a run printed for the operator, which must have succeeded."""
    assert done.returncode == 0, done.stderr
    return done.stderr


def failed(done: subprocess.CompletedProcess[str]) -> str:
    """What a run printed for the operator, which must have failed in good order."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.stderr


class Begun:
    """A command line that is running, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[tuple[float, str]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.decode().rstrip()))

    def wait_for(self, words: str, times: int = 1, within: float = 30) -> list[float]:
        """Wait until some words have been printed so often; when they were."""
        self.wait_until(lambda: len(self.when(words)) >= times, within)
        return self.when(words)

    def wait_until(self, condition: Callable[[], bool], within: float = 30) -> None:
        """Wait while it runs."""
        deadline = time.monotonic() + within
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def when(self, words: str) -> list[float]:
        """When lines with these words were printed."""
        return [when for when, line in list(self.lines) if words in line]

    def said(self) -> str:
        """All that was printed."""
        return "\n".join(line for _, line in self.lines)

    def interrupt(self) -> int:
        """Ctrl-C, as the terminal sends it: to the whole process group. Answers the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=15)

    def kill(self) -> None:
        """SIGKILL, to it alone."""
        self.process.kill()
        self.process.wait(timeout=15)
