"""Two units of a template, under the systemd of a real Debian machine."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import machines
import pytest
from stage import Stage

from ops.errors import HostUnreachable
from ops.platforms import Platform, State, open_platform
from ops.platforms.shell import Ran
from ops.sandbox import web
from ops.services import Systemd

WEB = Path(web.__file__)
SERVED = "2026-01-01T00:00:00Z one\n2026-02-01T00:00:00Z two\n2026-03-01T00:00:00Z three\n"
UNIT = """
[Service]
ExecStart=python3 -u /opt/web.py %i /srv/web/broken
WorkingDirectory=/srv/web/current
EnvironmentFile=/srv/web/env
"""
RESET = f"""
set -e
systemctl stop 'web@*' 'other*'
rm -rf /srv/web /etc/systemd/system/web@* /etc/systemd/system/other*
mkdir -p /srv/web/releases
cd /srv/web
for each in one two three; do mkdir releases/$each; echo $each > releases/$each/release.txt; done
printf %s {quote(SERVED)} > served.log
ln -s releases/three current
echo PRESENT=x > env
printf %s {quote(WEB.read_text())} > /opt/web.py
printf %s {quote(UNIT)} > /etc/systemd/system/web@.service
systemctl daemon-reload
systemctl reset-failed
systemctl start web@8001 web@8002
for port in 8001 8002; do until curl -fsS http://127.0.0.1:$port/; do sleep 0.02; done; done 2>/dev/null
"""


class Inside:
    """The machine's own ``sh``."""

    def __init__(self, machine: machines.Machine) -> None:
        self.host = machine.name
        self._machine = machine

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        try:
            done = self._machine.run(script, timeout)
        except subprocess.TimeoutExpired:
            raise HostUnreachable(f"{self.host}: no answer") from None
        return Ran(done.returncode, done.stdout, done.stderr)


class Units(Stage):
    """``web@8001`` and ``web@8002``."""

    def __init__(self, lot: machines.Lot) -> None:
        self.lot = lot
        self.shell = Inside(lot.machines[0])
        self.entrance = tuple(lot.inside())
        self.host = (lot.machines[0].name, lot.by_ssh(lot.machines[0]))
        self.service = Systemd(
            name="web",
            hosts="app",
            units=("web@8001", "web@8002"),
            releases="/srv/web",
            ports=(8001, 8002),
            health="http://127.0.0.1:{port}/",
            within=10,
            settle=1,
            env_file="/srv/web/env",
            requires=("PRESENT",),
        )
        self.must(RESET)

    @property
    def platform(self) -> Platform:
        return open_platform(self.service, self.shell)

    def serving(self) -> list[str]:
        return [self.must(f"curl -fsS http://127.0.0.1:{port}/").strip() for port in self.service.ports]

    def breaks(self) -> None:
        self.must("touch /srv/web/broken")

    def crash(self) -> None:
        self.must("systemctl kill -s KILL web@8001 web@8002")
        self.until("web@8001", State.FAILED)

    def unknown(self) -> Platform:
        return self.other("nothing")

    def writes(self) -> object:
        units = " ".join(self.service.units)
        return self.must(
            f"systemctl show -p MainPID -- {units}; ls -lR --time-style=full-iso /srv/web; cat /srv/web/s*"
        )

    def other(self, unit: str, **fields: object) -> Platform:
        """The platform opened for another unit."""
        return open_platform(self.service.model_copy(update={"units": (unit,), **fields}), self.shell)

    def must(self, script: str) -> str:
        """What a script printed that has to succeed on the machine."""
        ran = self.shell.run(script)
        assert ran.code == 0, ran
        return ran.out

    def logged(self, platform: Platform, text: str, **arguments: object) -> list[str]:
        """The log, once a text is in it: the journal is written a moment later."""
        deadline = time.monotonic() + 10
        while text not in "\n".join(lines := platform.logs(**arguments)):
            assert time.monotonic() < deadline, lines
            time.sleep(0.05)
        return lines

    def until(self, unit: str, state: State) -> None:
        """Wait until a unit is in a state."""
        deadline = time.monotonic() + 10
        while (found := self.other(unit).status().state) is not state:
            assert time.monotonic() < deadline, f"{unit} is {found}"
            time.sleep(0.05)


@functools.cache
def lot(config: pytest.Config) -> machines.Lot:
    """One machine for all tests of this process: it boots in a second, the image takes half a minute once."""
    stack = contextlib.ExitStack()
    config.add_cleanup(stack.close)
    return stack.enter_context(machines.machines(1))


@contextlib.contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The machine, with the service as it is at the beginning of each test."""
    if lacks := machines.lacking():
        pytest.skip(f"needs {lacks}")
    try:
        running = lot(request.config)
    except machines.CannotBuild as problem:
        pytest.skip(f"needs an image of Debian: {problem}")
    yield Units(running)
