"""A real supervisord with two instances of the web service."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stage import Stage
from subshell import Subshell

from ops.platforms import Platform, State, open_platform
from ops.sandbox import ports, web
from ops.services import Supervisor

WEB = Path(web.__file__)
SERVED = ["2026-01-01T00:00:00Z one", "2026-02-01T00:00:00Z two", "2026-03-01T00:00:00Z three"]


class Supervised(Stage):
    """Programs ``web_1`` and ``web_2``."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.shell = Subshell()
        self.base = place / "srv"
        for release in self.releases:
            (self.base / "releases" / release).mkdir(parents=True)
            (self.base / "releases" / release / "release.txt").write_text(release)
        (self.base / "served.log").write_text("\n".join(SERVED) + "\n")
        (self.base / "current").symlink_to("releases/three")
        (place / "env").write_text("PRESENT=x\n")
        first = ports.free()
        self.ports = (first, ports.free({first}))
        self.configuration = place / "supervisord.conf"
        self.configuration.write_text(
            f"[supervisord]\nlogfile={place}/supervisord.log\npidfile={place}/supervisord.pid\nchildlogdir={place}\n"
            f"[unix_http_server]\nfile={place}/socket\nchmod=0700\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{place}/socket\n"
            + "".join(
                f"[program:web_{number}]\ncommand={sys.executable} -u {WEB} {port} {place}/broken\n"
                f"directory={self.base}/current\nstartsecs=1\nstartretries=1\n"
                for number, port in enumerate(self.ports, start=1)
            )
        )
        self.service = Supervisor(
            name="web",
            hosts="app",
            configuration=str(self.configuration),
            command=str(Path(sys.executable).with_name("supervisorctl")),
            programs=("web_1", "web_2"),
            releases=str(self.base),
            ports=self.ports,
            health="http://127.0.0.1:{port}/",
            within=10,
            settle=1,
            env_file=str(place / "env"),
            requires=("PRESENT",),
        )

    @property
    def platform(self) -> Platform:
        return open_platform(self.service, self.shell)

    def serving(self) -> list[str]:
        return [urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode() for port in self.ports]

    def breaks(self) -> None:
        (self.place / "broken").touch()

    def crash(self) -> None:
        self.breaks()
        subprocess.run(["pkill", "-9", "-f", f"{self.place}/broken"], check=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and "EXITED" not in self.ctl("status") and "FATAL" not in self.ctl("status"):
            time.sleep(0.1)

    def unknown(self) -> Platform:
        return open_platform(self.service.model_copy(update={"programs": ("nothing",)}), self.shell)

    def writes(self) -> object:
        return self.ctl("pid all"), (self.base / "current").readlink(), (self.base / "served.log").read_text()

    def ctl(self, words: str) -> str:
        return subprocess.run(
            [self.service.command, "-c", self.configuration, *words.split()], capture_output=True, text=True
        ).stdout


@contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A supervisord of the test's own."""
    stage = Supervised(tmp_path_factory.mktemp("supervisor"))
    program = Path(sys.executable).with_name("supervisord")
    process = subprocess.Popen([program, "-n", "-c", stage.configuration], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if stage.serving() and stage.platform.status().state is State.RUNNING:
                    break
            except OSError:
                time.sleep(0.05)
        yield stage
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(stage.place)
