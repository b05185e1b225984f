"""A real nginx of the test's own, with three versions of its configuration."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from stage import Stage
from subshell import Subshell

from ops.platforms import Platform, open_platform
from ops.sandbox import ports
from ops.services import Nginx

SERVED = ["2026-01-01T00:00:00Z one", "2026-02-01T00:00:00Z two", "2026-03-01T00:00:00Z three"]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
TEMPORARY = "".join(f"{kind}_temp_path {{place}}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))


class Served(Stage):
    """One nginx that answers with the name of its version, and ``/health`` besides."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.shell = Subshell()
        self.port = ports.free()
        self.configuration = place / "nginx.conf"
        self.versions = place / "versions"
        self.broken = threading.Event()
        (self.versions / "releases").mkdir(parents=True)
        for release in self.releases:
            self.version(release)
        (self.versions / "served.log").write_text("\n".join(SERVED) + "\n")
        (place / "server.inc").write_text("location = /health { return 200 healthy; }\n")
        shutil.copy(self.versions / "releases" / "three", self.configuration)
        (place / "env").write_text("PRESENT=x\n")
        self.service = Nginx(
            name="web",
            hosts="edge",
            configuration=str(self.configuration),
            versions=str(self.versions),
            pid=f"{place}/nginx.pid",
            error_log=f"{place}/error.log",
            maintenance=f"{place}/maintenance",
            command=str(NGINX),
            health=f"http://127.0.0.1:{self.port}/health",
            within=10,
            settle=1,
            env_file=str(place / "env"),
            requires=("PRESENT",),
        )

    def version(self, release: str, more: str = "", port: int | None = None) -> None:
        """Write a version; ``server.inc`` is looked for beside the main file, wherever the version lies."""
        # A server that is started by root gives its workers to somebody who may not look into the test's directory.
        user = "user root;" if os.geteuid() == 0 else ""
        (self.versions / "releases" / release).write_text(
            f"{user}\nworker_processes 2;\npid {self.place}/nginx.pid;\nerror_log {self.place}/error.log notice;\n"
            "events { worker_connections 64; }\n"
            f"http {{\n access_log off; client_body_temp_path {self.place}/body;\n"
            f" {TEMPORARY.format(place=self.place)}\n"
            f" server {{\n  listen 127.0.0.1:{port or self.port};\n  include server.inc;\n"
            f'  location / {{ return 200 "{release}"; }}\n  {more}\n }}\n}}\n'
        )

    @property
    def platform(self) -> Platform:
        return open_platform(self.service, self.shell)

    def serving(self) -> list[str]:
        return [urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5).read().decode()]

    def master(self) -> int | None:
        with suppress(OSError, ValueError):
            return int((self.place / "nginx.pid").read_text())
        return None

    def workers(self) -> list[int]:
        found = Path(f"/proc/{self.master()}/task/{self.master()}/children")
        return [int(pid) for pid in found.read_text().split()] if found.exists() else []

    def breaks(self) -> None:
        """New workers are killed half a second after they are first seen, as when memory runs out."""
        spared = set(self.workers())

        def kill() -> None:
            while not self.broken.wait(0.5):
                for pid in set(self.workers()) - spared:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()

    def crash(self) -> None:
        for pid in [self.master(), *self.workers()]:
            if pid:
                os.kill(pid, signal.SIGKILL)
        self.gone()

    def gone(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.answers():
            time.sleep(0.05)

    def answers(self) -> bool:
        with suppress(OSError):
            return bool(self.serving())
        return False

    def unknown(self) -> Platform:
        absent = {"configuration": f"{self.place}/absent.conf"}
        return open_platform(self.service.model_copy(update=absent), self.shell)

    def writes(self) -> object:
        files = sorted(str(path) for path in self.place.glob("nginx.conf*"))
        texts = [self.configuration.read_text(), (self.versions / "served.log").read_text()]
        return self.master(), self.workers(), files, texts

    def serve(self) -> None:
        """Start it, past the platform."""
        subprocess.run([NGINX, "-c", self.configuration], check=True, capture_output=True)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not (self.answers() and len(self.workers()) == 2):
            time.sleep(0.05)


@contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """An nginx of the test's own."""
    if NGINX is None:
        pytest.skip("needs nginx")
    stage = Served(tmp_path_factory.mktemp("nginx"))
    try:
        stage.serve()
        yield stage
    finally:
        stage.broken.set()
        if stage.workers() and (master := stage.master()):
            os.kill(master, signal.SIGTERM)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and stage.master():
                time.sleep(0.05)
        shutil.rmtree(stage.place)
