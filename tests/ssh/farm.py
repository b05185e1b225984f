"""Hosts reached by SSH, on each of which a real supervisord runs one instance of the web service."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pyinfra_command import CommandLine
from servers import running
from sshd import KEYGEN, SSHD, Remote, remotes

from ops import Directory, Environment, Postgres, Supervisor
from ops.sandbox.supervisor import WebServer


class Farm:
    """Hosts, on each of which a supervisord runs one instance of the web service."""

    def __init__(self, hosts: list[Remote], servers: list[WebServer], control: Path) -> None:
        self.hosts = hosts
        self.servers = servers
        self.control = control

    @property
    def ports(self) -> list[int]:
        """Of the instance on each host."""
        return [server.ports["web_1"] for server in self.servers]

    def pids(self) -> list[str]:
        """Of the instance on each host."""
        return [
            subprocess.run(
                [server.command, "-c", server.configuration, "pid", "web_1"], capture_output=True, text=True
            ).stdout.strip()
            for server in self.servers
        ]

    def describe(self, pyinfra: CommandLine) -> None:
        """The inventory."""
        service = Supervisor(
            name="web",
            hosts="app",
            programs=("web_1",),
            configuration="/etc/supervisord.conf",
            command=str(self.control),
            within=15,
            settle=1,
        )
        nowhere = Postgres(host="127.0.0.1", database="none")
        store = Directory(path=str(pyinfra.directory / "store"))
        environment = Environment(name="test", database=nowhere, store=store, services=(service,))
        pyinfra.describe(environment, runner=["@local"], app=self.hosts)


@contextmanager
def farm(place: Path, number: int) -> Iterator[Farm]:
    """So many hosts, with one file system between them: the program that asks supervisord finds its own by its home."""
    if not SSHD or not KEYGEN:
        pytest.skip("needs sshd and ssh-keygen: apt install openssh-server")
    names = [f"app-{n}" for n in range(1, number + 1)]
    servers = [WebServer(place / name) for name in names]
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(running(server))
        control = place / "supervisorctl"
        control.write_text(f'#!/bin/sh\nshift 2\nexec {servers[0].command} -c "$HOME/supervisord.conf" "$@"\n')
        control.chmod(0o755)
        (place / "ssh").mkdir()
        homes = {name: server.data for name, server in zip(names, servers, strict=True)}
        yield Farm(stack.enter_context(remotes(place / "ssh", names, homes)), servers, control)
