"""Remote hosts, one of which has the worker installed, and a command line to reach them with."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from described import described
from pyinfra_command import CommandLine, succeeded
from sshd import KEYGEN, SSHD, Remote, remotes

from ops import S3, Directory, Environment, Postgres
from ops.runner import directory
from ops.sandbox.shop import Shop


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the worker processes of pytest-xdist have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[dict[str, Remote]]:
    """Running hosts by name. ``runner-1`` gets the worker; nothing is ever installed on the others."""
    if not SSHD or not KEYGEN:
        pytest.skip("needs sshd and ssh-keygen: apt install openssh-server")
    names = ["runner-1", "runner-2", "app-1", "app-2"]
    home = shared / "runner-home"
    home.mkdir(exist_ok=True)
    with remotes(tmp_path_factory.mktemp("sshd"), names, homes={"runner-1": home}) as running:
        yield {host.name: host for host in running}


@pytest.fixture(scope="session")
def somewhere() -> Environment:
    """An environment for what never asks a database or a store."""
    database = Postgres(host="127.0.0.1", port=1, database="none")
    return Environment(name="test", database=database, store=Directory(path="/nonexistent"))


@pytest.fixture(scope="session")
def installed(
    hosts: dict[str, Remote],
    shared: Path,
    somewhere: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Remote:
    """The host with the worker, put there by the deploy itself, once, after one that was killed."""
    line = CommandLine(tmp_path_factory.mktemp("install"))
    runner = hosts["runner-1"]
    line.describe(somewhere, runner=[runner])
    with (shared / "install.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = runner.home / directory()
        if not place.exists():
            with line.begun("deploys/runner.py") as begun:
                begun.wait_until(lambda: any(place.parent.glob("*/bin")))
                begun.kill()
            ruins = next(place.parent.iterdir())
            (ruins / "left-behind").touch()
        succeeded(line.run("deploys/runner.py", timeout=240))
    return runner


@pytest.fixture
def pyinfra(tmp_path: Path) -> CommandLine:
    """The command line."""
    return CommandLine(tmp_path)


@pytest.fixture
def environment(shop: Shop, store_s3: S3) -> Environment:
    """A shop and an empty store."""
    return Environment(name="test", database=described(shop), store=store_s3)
