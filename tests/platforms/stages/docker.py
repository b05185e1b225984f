"""Two services of a compose project, on a real Docker engine of the tests' own."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import machines
import pytest
from stage import Stage

from ops.errors import HostUnreachable
from ops.platforms import Platform, State, open_platform
from ops.platforms.shell import Ran
from ops.sandbox import web
from ops.services import Docker

WEB = Path(web.__file__)
SERVED = "2026-01-01T00:00:00Z one\n2026-02-01T00:00:00Z two\n2026-03-01T00:00:00Z three\n"
TOOLS = ("dockerd", "docker", "docker-compose")
SERVICE = """
  web{number}:
    image: web:${{TAG}}
    network_mode: host
    command: python3 -u /srv/web.py 800{number} /state/broken
    volumes: [./state:/state]
"""
COMPOSE = "version: '3'\nservices:" + "".join(SERVICE.format(number=number) for number in (1, 2))
PLUGIN = """#!/bin/sh
[ "$1" != docker-cli-plugin-metadata ] || {
  echo '{"SchemaVersion": "0.1.0", "Vendor": "Debian", "Version": "1"}'
  exit
}
shift
exec docker-compose "$@"
"""
"""Compose is a program of its own where it is older; Docker asks for it as a plugin."""


class Engine:
    """A Docker engine without network, in namespaces that end with it, and a shell beside it.

    Args:
        place: for all that it keeps.
    """

    host = "here"

    def __init__(self, place: Path) -> None:
        self._place = place
        self.group = f"ops-docker-{os.getpid()}"
        plugin = place / "config/cli-plugins/docker-compose"
        plugin.parent.mkdir(parents=True)
        plugin.write_text(PLUGIN)
        plugin.chmod(0o755)
        engine = (
            f"ip link set lo up; mount -t tmpfs run /run; "
            f"exec dockerd --data-root {place}/data --exec-root {place}/exec -p {place}/pid "
            f"-H unix://{place}/socket --bridge=none --iptables=false --ip6tables=false --cgroup-parent=/{self.group}"
        )
        kept = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        with (place / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*kept, "--mount-proc", "sh", "-c", engine], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def entrance(self) -> tuple[str, ...]:
        """Words before a command that has to run beside it."""
        first = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0]
        of_ours = (f"DOCKER_HOST=unix://{self._place}/socket", f"DOCKER_CONFIG={self._place}/config")
        return ("nsenter", "-t", first, "-m", "-n", "-p", "--", "env", *of_ours)

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        try:
            done = subprocess.run(
                [*self.entrance(), "sh", "-c", script], capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise HostUnreachable("here: no answer") from None
        return Ran(done.returncode, done.stdout, done.stderr)

    def must(self, script: str) -> str:
        """What a script printed that has to succeed."""
        ran = self.run(script)
        assert ran.code == 0, ran
        return ran.out

    def prepare(self) -> None:
        """Wait for it, and give it the images."""
        deadline = time.monotonic() + 20
        while not self._process.poll() and time.monotonic() < deadline:
            with contextlib.suppress(IndexError):
                if self.run("docker version").code == 0:
                    break
            time.sleep(0.1)
        self.must(
            f"tar -C {machines.image()} --exclude=./var/cache --exclude=./var/lib/apt -c . | docker import - base:1"
        )
        for release in Stage.releases:
            (self._place / "release.txt").write_text(release)
            self.must(
                f"cd {self._place}; docker create --name made base:1 true; docker cp release.txt made:/srv/; "
                f"docker cp {WEB} made:/srv/; docker commit -c 'WORKDIR /srv' made web:{release}; docker rm made"
            )

    def end(self) -> None:
        """Stop it, and leave nothing."""
        self._process.kill()
        self._process.wait()
        for group in Path("/sys/fs/cgroup").glob(f"**/{self.group}"):
            machines.remove(group)
        shutil.rmtree(self._place, ignore_errors=True)


class Containers(Stage):
    """``web1`` and ``web2``."""

    def __init__(self, engine: Engine, place: Path) -> None:
        self.shell = engine
        self.entrance = engine.entrance()
        self.place = place
        (place / "state").mkdir()
        (place / "docker-compose.yml").write_text(COMPOSE)
        (place / ".env").write_text("PRESENT=x\nTAG=three\n")
        (place / "served.log").write_text(SERVED)
        self.service = Docker(
            name="web",
            hosts="app",
            containers=("web1", "web2"),
            compose=str(place),
            image="web",
            ports=(8001, 8002),
            health="http://127.0.0.1:{port}/",
            within=10,
            settle=1,
            env_file=str(place / ".env"),
            requires=("PRESENT",),
        )
        engine.must(
            f"cd {place}; docker ps -aq | xargs -r docker rm -f; docker compose up -d\n"
            "for port in 8001 8002; do until curl -fsS http://127.0.0.1:$port/; do sleep 0.05; done; done"
        )

    @property
    def platform(self) -> Platform:
        return open_platform(self.service, self.shell)

    def serving(self) -> list[str]:
        return [self.shell.must(f"curl -fsS http://127.0.0.1:{port}/") for port in self.service.ports]

    def breaks(self) -> None:
        (self.place / "state/broken").touch()

    def crash(self) -> None:
        self.breaks()
        self.shell.must("docker ps -q | xargs docker restart")
        deadline = time.monotonic() + 10
        while self.platform.status().state is not State.FAILED and time.monotonic() < deadline:
            time.sleep(0.1)

    def unknown(self) -> Platform:
        return open_platform(self.service.model_copy(update={"containers": ("nothing",)}), self.shell)

    def writes(self) -> object:
        shown = self.shell.must("docker ps -aq | xargs docker inspect -f '{{.Id}} {{.State.StartedAt}}'")
        return shown, (self.place / ".env").read_text(), (self.place / "served.log").read_text()


@functools.cache
def engine(config: pytest.Config) -> Engine:
    """One for all tests of this process."""
    running = Engine(Path(tempfile.mkdtemp(prefix="ops-docker-")))
    config.add_cleanup(running.end)
    running.prepare()
    return running


@contextlib.contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The engine, with the project as it is at the beginning of each test."""
    lacks = machines.lacking() or " and ".join(tool for tool in TOOLS if not shutil.which(tool))
    if lacks:
        pytest.skip(f"needs a Docker engine: {lacks}")
    try:
        running = engine(request.config)
    except machines.CannotBuild as problem:
        pytest.skip(f"needs an image of Debian: {problem}")
    yield Containers(running, tmp_path_factory.mktemp("docker"))
