"""A Prometheus of Debian's that scrapes a Pushgateway of Debian's, both on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ops.sandbox import ports

_CONFIGURATION = """
global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}
scrape_configs:
  - job_name: pushed
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    """Where it answers, and how a value gets into it.

    Args:
        url: of the server.
        gateway: URL of the Pushgateway.
    """

    def __init__(self, url: str, gateway: str) -> None:
        self.url = url
        self._gateway = gateway

    def push(self, **series: float) -> None:
        """Let metrics have values, each of one instance (``web_1`` …) and wait until they are there.

        Args:
            series: ``metric__instance``, or ``metric`` for one without instances.
        """
        for name, value in series.items():
            metric, _, instance = name.partition("__")
            path = f"/metrics/job/shop{f'/instance/{instance}' if instance else ''}"
            body = f"{metric} {value}\n".encode()
            urllib.request.urlopen(urllib.request.Request(self._gateway + path, body, method="POST"), timeout=10)
        deadline = time.monotonic() + 30
        for name, value in series.items():
            metric, _, instance = name.partition("__")
            query = metric + (f'{{instance="{instance}"}}' if instance else "")
            while self._value(query) not in (str(value), f"{value:g}"):
                assert time.monotonic() < deadline, f"{query} is not scraped"
                time.sleep(0.05)

    def _value(self, query: str) -> str | None:
        url = f"{self.url}/api/v1/query?{urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
        return found[0]["value"][1] if found else None


@contextmanager
def running(directory: Path) -> Iterator[Prometheus]:
    """Both servers; skips where they are not installed."""
    for program in ("prometheus", "prometheus-pushgateway"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt install {program}")
    port, gateway = ports.free(), ports.free()
    configuration = directory / "prometheus.yml"
    configuration.write_text(_CONFIGURATION.format(port=gateway))
    with ExitStack() as stack:
        stack.enter_context(
            _server(["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{gateway}"], gateway, directory)
        )
        stack.enter_context(
            _server(
                ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={directory}/data",
                 f"--web.listen-address=127.0.0.1:{port}"],
                port, directory,
            )
        )  # fmt: skip
        yield Prometheus(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gateway}")


@contextmanager
def _server(command: list[str], port: int, directory: Path) -> Iterator[None]:
    log = directory / f"{command[0]}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=written, stderr=written)
    # Whatever becomes of the tests: the pipe closes when they die.
    lifeline = subprocess.Popen(
        ["sh", "-c", 'read -r line; kill "$0"', str(process.pid)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while not _ready(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        lifeline.kill()
        lifeline.communicate()
        process.kill()
        process.wait()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
            return True
    except OSError:
        return False
