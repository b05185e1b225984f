"""A deploy that changes what it is told to, for what must hold of every deploy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_line import CommandLine, Typed

DEPLOY = """
import time
from pathlib import Path

from pyinfra import host
from pyinfra.api.operation import operation

from ops import recorder, runner
from ops.errors import ServiceError
from ops.operations import services
from ops.steps import Step, guarded, plan

wait, fail, release = host.data.get("wait", 0), host.data.get("fail"), host.data.get("release")
nothing, alone, unused = host.data.get("nothing"), host.data.get("alone"), host.data.get("api_token")


@operation()
@guarded
def change():
    if nothing:
        return

    def do():
        recorder.know(releases={{"web": {{"from": "1", "to": "2"}}}})
        time.sleep(float(wait))
        if fail == "yes":
            raise ServiceError("it went wrong", "Look at it")
        if fail == "secret":
            raise ServiceError("no connection to " + runner.environment().database.url.reveal())
        if release:
            recorder.released("web", release, migration="0007")
        if fail == "after":
            raise ServiceError("it did not hold")
        Path({done!r}).touch()

    plan("Change it")
    yield Step("Change it", do, alone=alone != "no")


change(name="Change")
"""


class Changing:
    """Types a deploy of the test's own.

    Args:
        pyinfra: the command line.
        place: a directory for the deploy, and for the file that says that it was carried out.
    """

    def __init__(self, pyinfra: CommandLine, place: Path) -> None:
        self.pyinfra = pyinfra
        self.deploy = place / "changing.py"
        self.done = place / "done"
        self.deploy.write_text(DEPLOY.format(done=str(self.done)))

    def type(self, *words: str, **environment: Any) -> Typed:
        """Run it to its end."""
        return self.pyinfra.type("-y", str(self.deploy), *words, **environment)

    @contextmanager
    def begun(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Start it in a process group of its own, as a shell does."""
        with self.pyinfra.start("-y", str(self.deploy), *words, stderr=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()
