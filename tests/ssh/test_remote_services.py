"""Services on several SSH hosts: a roll behind a real nginx, and twenty hosts at once."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from farm import Farm, farm
from pyinfra_command import Begun, CommandLine, failed, succeeded

from ops.sandbox import ports

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.slow


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Farm]:
    """Three hosts."""
    with farm(tmp_path, 3) as hosts:
        yield hosts


@contextmanager
def proxy(place: Path, upstream: list[int]) -> Iterator[str]:
    """A real nginx before these ports; its URL."""
    if not NGINX:
        pytest.skip("needs nginx: apt install nginx-light")
    port = ports.free()
    servers = " ".join(f"server 127.0.0.1:{one} max_fails=0;" for one in upstream)
    (place / "nginx.conf").write_text(
        f"daemon off; pid {place}/nginx.pid; error_log {place}/error.log; worker_processes 1;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n"
        f"fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n"
        f"upstream web {{ {servers} }}\n"
        f"server {{ listen 127.0.0.1:{port};\n"
        "location / { proxy_pass http://web; proxy_next_upstream error timeout; proxy_connect_timeout 2s; } } }\n"
    )
    process = subprocess.Popen([NGINX, "-p", place, "-c", place / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(200):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()


class Asking(threading.Thread):
    """Asks without a pause, and notes what came back."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.answered = 0
        self.failed: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                urllib.request.urlopen(self.url, timeout=10).read()
                self.answered += 1
            except OSError as error:
                self.failed.append(str(error))

    def end(self) -> None:
        """Ask no more."""
        self.over.set()
        self.join()


def test_no_request_fails_during_a_rolling_restart(three: Farm, pyinfra: CommandLine, tmp_path: Path) -> None:
    three.describe(pyinfra)
    before = three.pids()
    with proxy(tmp_path, three.ports) as url:
        asking = Asking(url)
        asking.start()
        succeeded(pyinfra.run("deploys/restart.py"))
        asking.end()
    assert asking.failed == []
    assert asking.answered > 200
    assert set(before) & set(three.pids()) == set()


def test_a_second_instance_that_is_broken_stops_the_roll_and_no_request_fails(
    three: Farm, pyinfra: CommandLine, tmp_path: Path
) -> None:
    three.describe(pyinfra)
    before = three.pids()
    (three.servers[1].data / "broken").touch()
    with proxy(tmp_path, three.ports) as url:
        asking = Asking(url)
        asking.start()
        said = failed(pyinfra.run("deploys/restart.py"))
        asking.end()
    assert asking.failed == []
    assert asking.answered > 200
    after = three.pids()
    assert after[0] not in ("0", before[0])
    assert after[2] == before[2]
    assert re.search(r"\[app-2\] +web_1 (did not stay up|is not healthy)", said), said
    assert re.search(r"\[app-2\] +\| broken, as told", said)
    assert sum("| " in line for line in said.splitlines()) <= 20
    assert "web on app-3 was left as it is, because web on app-2 failed" in said


def test_a_host_that_cannot_be_reached_is_said_and_nothing_is_changed_anywhere(
    three: Farm, pyinfra: CommandLine
) -> None:
    gone = dataclasses.replace(three.hosts[2], name="app-4", port=ports.free())
    three.hosts.append(gone)
    three.describe(pyinfra)
    before = three.pids()
    said = failed(pyinfra.run("deploys/restart.py"))
    assert "app-4 of web could not be reached, so nothing was done" in said
    assert three.pids() == before
    said = failed(pyinfra.run("deploys/services.py"))
    assert re.search(r"web +app-4 +\? +\? +unknown", said), said
    assert len(re.findall(r"web +app-\d .* running", said)) == 3
    succeeded(pyinfra.run("deploys/restart.py", *(word for n in (1, 2, 3) for word in ("--limit", f"app-{n}"))))
    assert set(before) & set(three.pids()) == set()


def test_twenty_hosts_in_batches_of_five(pyinfra: CommandLine, tmp_path: Path) -> None:
    with farm(tmp_path, 20) as hosts:
        hosts.describe(pyinfra)
        with pyinfra.begun("deploys/restart.py", "--data", "batch=5") as run:
            assert run.process.wait(timeout=200) == 0, run.said()
        began = {name: when(run, name, "restarting web_1") for name in (host.name for host in hosts.hosts)}
        ended = {name: when(run, name, "web_1 holds") for name in began}
        slowest = max(ended[name] - began[name] for name in began)
        whole = max(ended.values()) - min(began.values())
        print(f"whole {whole:.1f} s, slowest host {slowest:.1f} s, ratio {whole / slowest / 4:.2f}")
        assert whole <= 1.3 * slowest * 4
        at_once = max(sum(began[a] <= began[b] < ended[a] for a in began) for b in began)
        assert at_once == 5
        walls = []
        for limit in ([], ["--limit", "app-1", "--limit", "@local"]):
            start = time.monotonic()
            said = succeeded(pyinfra.run("deploys/services.py", *limit))
            walls.append(time.monotonic() - start)
            assert said.count("running") == (1 if limit else 20)
        print(f"table of twenty {walls[0]:.1f} s, of one {walls[1]:.1f} s, ratio {walls[0] / walls[1]:.2f}")


def when(run: Begun, host: str, words: str) -> float:
    """When a host said this."""
    return next(at for at, line in run.lines if re.search(rf"\[{host}\] +{words}", line))
