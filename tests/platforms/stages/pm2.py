"""A real pm2 with two instances of the web service."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stage import Stage
from subshell import Subshell

from ops.platforms import Platform, open_platform
from ops.sandbox import ports, web
from ops.services import Pm2

WEB = Path(web.__file__)
SERVED = ["2026-01-01T00:00:00Z one", "2026-02-01T00:00:00Z two", "2026-03-01T00:00:00Z three"]


@functools.lru_cache
def installed() -> Path | None:
    """pm2, installed once on this machine; None where npm is missing or cannot."""
    if not shutil.which("npm"):
        return None
    place = Path(tempfile.gettempdir()) / f"ops-tests-pm2-{os.getuid()}"
    program = place / "node_modules" / ".bin" / "pm2"
    place.mkdir(mode=0o700, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            words = ["npm", "install", "--prefix", place, "--no-audit", "--no-fund", "pm2@7"]
            if subprocess.run(words, capture_output=True, timeout=240).returncode:
                return None
            (place / "done").touch()
    return program


class Managed(Stage):
    """Two processes called ``web``; pm2 was told the directory of the release itself, as ``cd`` and start do."""

    def __init__(self, place: Path, command: Path) -> None:
        self.place = place
        self.home = place / "pm2"
        self.shell = Subshell()
        self.base = place / "srv"
        for release in self.releases:
            (self.base / "releases" / release).mkdir(parents=True)
            (self.base / "releases" / release / "release.txt").write_text(release)
            shutil.copy(WEB, self.base / "releases" / release)
        (self.base / "served.log").write_text("\n".join(SERVED) + "\n")
        (self.base / "current").symlink_to("releases/three")
        (place / "env").write_text("PRESENT=x\n")
        first = ports.free()
        self.ports = (first, ports.free({first}))
        self.command = command
        self.service = Pm2(
            name="web",
            hosts="app",
            home=str(self.home),
            command=str(command),
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

    def pm2(self, *words: object, cwd: Path | None = None, **environment: str) -> str:
        """Run pm2, past the platform."""
        # The one who runs the tests may be run by pm2 himself.
        kept = {name: value for name, value in os.environ.items() if not name.lower().startswith("pm")}
        node = f"{self.command.parent}:{os.environ['PATH']}"
        return subprocess.run(
            [self.command, *map(str, words)],
            env={**kept, "PATH": node, "PM2_HOME": str(self.home), **environment},
            cwd=cwd,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def serve(self, directory: Path) -> None:
        """Start both in a directory, which pm2 remembers as it is written."""
        apps = [
            {"name": "web", "script": "web.py", "args": [str(port), f"{self.place}/broken"], "cwd": str(directory),
             "interpreter": sys.executable, "interpreter_args": "-u", "max_restarts": 3, "min_uptime": 5000,
             "force": True, "env": {"TOKEN": "a-secret-of-the-process"}}
            for port in self.ports
        ]  # fmt: skip
        (self.place / "ecosystem.json").write_text(json.dumps({"apps": apps}))
        self.pm2("start", self.place / "ecosystem.json")
        self.answered()

    def answered(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.serving()
                return
            except OSError:
                time.sleep(0.05)

    def serving(self) -> list[str]:
        return [urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode() for port in self.ports]

    def list(self) -> list[dict]:
        return json.loads(self.pm2("jlist", "--silent"))

    def breaks(self) -> None:
        (self.place / "broken").touch()

    def crash(self) -> None:
        self.breaks()
        for one in self.list():
            os.kill(one["pid"], 9)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and {one["pm2_env"]["status"] for one in self.list()} != {"errored"}:
            time.sleep(0.2)

    def unknown(self) -> Platform:
        return open_platform(self.service.model_copy(update={"process": "nothing"}), self.shell)

    def writes(self) -> object:
        running = [(one["pm_id"], one["pid"], one["pm2_env"]["restart_time"]) for one in self.list()]
        return running, (self.base / "current").readlink(), (self.base / "served.log").read_text()


@contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A pm2 of the test's own."""
    command = installed()
    if command is None:
        pytest.skip("needs npm")
    stage = Managed(tmp_path_factory.mktemp("pm2"), command)
    try:
        stage.serve(stage.base / "releases" / "three")
        yield stage
    finally:
        stage.pm2("kill")
        shutil.rmtree(stage.place, ignore_errors=True)  # its daemon may be clearing away as well
