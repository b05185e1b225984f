"""A rollback over several hosts: all go back, or none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, farm
from pyinfra_command import CommandLine

from ops import Directory, Environment, Postgres, Supervisor
from ops.sandbox.supervisor import RELEASES

_, TWO, THREE = RELEASES

pytestmark = pytest.mark.slow


class Hosts:
    """Two hosts on release 3, and who types."""

    def __init__(self, hosts: Farm, place: Path) -> None:
        self.farm = hosts
        self.line = CommandLine(place)
        service = Supervisor(
            name="web",
            hosts="app",
            programs=("web_1",),
            configuration="/etc/supervisord.conf",
            command=str(hosts.control),
            releases=str(hosts.servers[0].releases),  # these hosts have one file system
            within=15,
            settle=0.5,
        )
        nowhere = Postgres(host="127.0.0.1", database="none")
        store = Directory(path=str(place / "store"))
        environment = Environment(name="test", database=nowhere, store=store, services=(service,))
        self.line.describe(environment, runner=["@local"], app=hosts.hosts)

    def serving(self) -> str:
        return (self.farm.servers[0].releases / "current").readlink().name

    def type(self, *words: str, code: int = 0) -> str:
        run = self.line.run(*words)
        assert run.returncode == code, run.stderr
        return run.stderr


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Hosts]:
    with farm(tmp_path, 2) as hosts:
        yield Hosts(hosts, tmp_path)


def test_all_hosts_go_back_and_once(two: Hosts) -> None:
    said = two.type("deploys/rollback.py")
    assert two.serving() == TWO
    assert all(f"web on app-{number} serves {TWO}, and is well" in said for number in (1, 2))
    assert "there is nothing to roll back" in two.type("deploys/rollback.py")
    assert two.serving() == TWO


def test_a_host_that_cannot_be_asked_keeps_all_from_going_back(two: Hosts) -> None:
    server = two.farm.servers[1]
    subprocess.run([server.command, "-c", str(server.configuration), "shutdown"], capture_output=True, check=True)
    said = two.type("deploys/rollback.py", code=1)
    assert "web on app-2 could not be asked" in said
    assert two.serving() == THREE


def test_a_release_that_does_not_serve_everywhere_is_no_record_of_it(two: Hosts) -> None:
    activate = ("ops.operations.services.activate", "service=web")
    two.type("--limit", "app-1", "--limit", "@local", *activate, f"release={TWO}")
    assert not list((two.line.directory / "store").glob("test/releases/*"))
    two.type(*activate, f"release={TWO}")
    (record,) = (two.line.directory / "store").glob("test/releases/*")
    assert f'"release": "{TWO}"' in record.read_text()
