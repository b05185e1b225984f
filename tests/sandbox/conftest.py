"""A sandbox of the test's own, worked as a user works it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.sandbox import Sandbox


class Terminal:
    """Types ``python -m ops.sandbox …`` for the sandbox in one directory."""

    def __init__(self, directory: Path) -> None:
        self.sandbox = Sandbox(directory)
        self.environment = {**os.environ, "OPS_SANDBOX": str(directory)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ops.sandbox", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        out, err = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal beside a sandbox that has never been up; whatever happens, it is down in the end."""
    terminal = Terminal(tmp_path / "sandbox")
    yield terminal
    terminal.sandbox.down()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal beside a sandbox that is up, for tests that leave it as it is."""
    terminal = Terminal(tmp_path_factory.mktemp("up") / "sandbox")
    try:
        done = terminal.type("up")
        assert done.returncode == 0, done.stderr
        yield terminal
    finally:
        terminal.sandbox.down()
