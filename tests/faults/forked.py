"""Workers that begin where Python and its imports are done, which is most of what a short run takes.

Each is a process of its own, in a session of its own, that runs the worker's ``main`` and nothing else of ours.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload(["ops.worker.dump", "ops.worker.drill", "ops.worker.check", "prepared"])


class Forked:
    """A worker, to be dealt with like a ``subprocess.Popen``. It has little patience with a store that is silent.

    Args:
        verb: what it does.
        request: the line on its standard input.
        variables: of its environment, besides those of this process.
    """

    def __init__(self, verb: str, request: str, variables: dict[str, str]) -> None:
        self._files = TemporaryDirectory()
        self._place = Path(self._files.name)
        (self._place / "request").write_text(request)
        self._process = _forkserver.Process(target=_work, args=(verb, self._place, variables))
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; the signal's number, negative, when it was killed."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Nothing happens when it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Without notice."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for its end: what it wrote on standard output and standard error."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("worker", timeout)
        answer, progress = ((self._place / name).read_text() for name in ("answer", "progress"))
        return answer, progress


def _work(verb: str, place: Path, variables: dict[str, str]) -> None:
    os.setsid()
    modes = {"request": os.O_RDONLY, "answer": os.O_WRONLY | os.O_CREAT, "progress": os.O_WRONLY | os.O_CREAT}
    for number, (name, mode) in enumerate(modes.items()):
        opened = os.open(place / name, mode, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0)
    os.environ.update(variables)
    from ops.stores.s3 import S3Store
    from ops.worker.__main__ import main

    S3Store.tries, S3Store.read_timeout, S3Store.connect_timeout = 2, 2.0, 2.0
    sys.argv = ["worker", verb]
    sys.exit(main())
