"""A migration tool as a child process: it connects where we say, and nothing secret is in its arguments."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ops.engines.base import Target
from ops.engines.url import options
from ops.errors import EngineMissing, MigrationRefused
from ops.worker.connection import ENGINE, credentials


@dataclass
class Ran:
    """What came of a tool.

    Args:
        code: its exit code.
        errors: lines of standard error.
        out: lines of standard output, where they were kept.
    """

    code: int
    errors: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """The first line of standard error that tells of an error, else the last."""
        telling = [line for line in self.errors if "error" in line.lower()]
        return (telling or self.errors[-1:] or [f"exit code {self.code}, without a word"])[0]


def run(
    command: list[str],
    target: Target,
    heard: Callable[[str, float], None],
    directory: Path | None = None,
    stdin: str = "",
    passed: tuple[int, ...] = (),
    libpq: bool = True,
    more: dict[str, str] | None = None,
) -> Ran:
    """Run a tool to its end. It finds the password of the target in the file that ``PGPASSFILE`` names.

    Args:
        command: the program and its arguments, without any secret.
        target: the database it is let loose on.
        heard: given each line of standard output, and when it came by ``time.monotonic``.
        directory: to run it in.
        stdin: what it reads.
        passed: file descriptors that it is given.
        more: of its environment; nothing secret.
        libpq: it connects by libpq, and so finds the target as ``service=ops``.

    Raises:
        EngineMissing: there is no such program.
    """
    with credentials(target.server, target.database, ENGINE) as (environment, descriptors):
        environment = {**environment, "PGOPTIONS": options(target), "PGSERVICE": "ops"}
        environment.update(more or {})
        if not libpq:
            environment = {name: value for name, value in environment.items() if not name.startswith("PGSERVICE")}
        with _started(command, environment, (*descriptors, *passed), directory) as process:
            ran = Ran(0)
            listener = threading.Thread(target=_listen, args=(process, ran), daemon=True)
            listener.start()
            assert process.stdin and process.stdout
            process.stdin.write(stdin)
            process.stdin.close()
            for line in process.stdout:
                heard(line.rstrip("\n"), time.monotonic())
            ran.code = process.wait()
            listener.join(timeout=5)
            return ran


@contextmanager
def _started(
    command: list[str], environment: dict[str, str], descriptors: tuple[int, ...], directory: Path | None
) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            command, env=environment, pass_fds=descriptors, cwd=directory, text=True, errors="replace", bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise EngineMissing(
            f"{command[0]} cannot be run: {error.strerror}", "Install it on the host that has the application's code"
        ) from None
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _listen(process: subprocess.Popen[str], ran: Ran) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip():
            ran.errors.append(line.strip())


def text(path: Path) -> str:
    """What a file of SQL says.

    Raises:
        MigrationRefused: it is no text.
    """
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise MigrationRefused(f"{path} is no text in UTF-8", "Write it in UTF-8") from None


def digest(path: Path) -> str:
    """A hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def directory(path: str) -> Path:
    """The directory of an engine.

    Raises:
        EngineMissing: it is not there.
    """
    found = Path(path)
    if not found.is_dir():
        raise EngineMissing(f"there is no directory {path}", "Look at directory= in the inventory, and at hosts=")
    return found
