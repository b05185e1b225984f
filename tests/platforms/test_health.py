"""How an instance is asked for its health on its own host."""

from __future__ import annotations

import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from subshell import Subshell

from ops import health
from ops.platforms.shell import Ran
from ops.sandbox import ports
from ops.services import Systemd


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers with the code that is asked for, after as many seconds."""

    def do_GET(self) -> None:
        """/code/seconds."""
        _, code, seconds = self.path.split("/")
        time.sleep(float(seconds))
        self.send_response(int(code))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


class Tools(Subshell):
    """A host that has only these programs."""

    def __init__(self, place: Path, *names: str) -> None:
        for name in ("sh", "sed", *names):
            program = shutil.which(name)
            if program is None:
                pytest.skip(f"needs {name}: apt install {name}")
            (place / name).symlink_to(program)
        self.path = place

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        return super().run(f"PATH={self.path}; export PATH\n{script}", timeout)


def asking(path: str, *at: int) -> Systemd:
    units = tuple(f"web@{number}" for number in range(len(at)))
    return Systemd(name="web", hosts="app", units=units, health=f"http://127.0.0.1:{{port}}/{path}", ports=at)


@pytest.mark.parametrize("program", ["curl", "wget"])
def test_each_instance_is_asked_at_its_port_by_what_the_host_has(program: str, port: int, tmp_path: Path) -> None:
    shell = Tools(tmp_path, program)
    nobody = ports.free()
    first, second, third = health.problems(asking("204/0", port, nobody, port), [0, 1, 2], shell)
    assert first is None and third is None
    assert second and f"http://127.0.0.1:{nobody}/204/0 does not answer" in second
    assert health.problems(asking("204/0", port, nobody), [0], shell) == [None]
    wrong = health.problem(asking("503/0", port), 0, shell)
    assert wrong and "503" in wrong


def test_they_are_asked_at_the_same_time(port: int, tmp_path: Path) -> None:
    began = time.monotonic()
    assert health.problems(asking("200/1.5", *[port] * 4), [0, 1, 2, 3], Tools(tmp_path, "curl")) == [None] * 4
    assert time.monotonic() - began < 4


def test_a_host_that_cannot_ask_says_so(port: int, tmp_path: Path) -> None:
    wrong = health.problem(asking("200/0", port), 0, Tools(tmp_path))
    assert wrong and wrong.endswith("neither curl nor wget is installed, one of which is needed")
