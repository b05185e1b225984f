"""A real supervisord with a small web service in two instances, which has three releases."""

from __future__ import annotations

import secrets
import signal
import sys
import sysconfig
import xmlrpc.client
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops.errors import ToolError
from ops.sandbox import privileges
from ops.sandbox.ports import free
from ops.sandbox.server import Server

RELEASES = ("2026-11-01", "2026-11-08", "2026-11-15")
_CUSTOMERS = {
    RELEASES[0]: "SELECT count(*) FROM customers WHERE name <> ''",
    RELEASES[1]: "SELECT count(*) FROM customers WHERE name <> '' AND birthday IS NULL",
    # Its author has mistyped full_name, which its migration makes of name.
    RELEASES[2]: "SELECT count(*) FROM customers WHERE fullname <> ''",
}


class WebServer(Server):
    """supervisord with the programs ``web_1`` and ``web_2``, on 127.0.0.1 only.

    Args:
        directory: where it lives; its parent must exist.
        ports: the ports to listen on; others are taken when not free.
        serving: the release that it has at first, after those before it.
        password: of supervisord's own interface; random when not given.
    """

    name = "supervisord"
    instances = ("web_1", "web_2")
    _end = signal.SIGTERM
    _grace = 15

    def __init__(
        self,
        directory: Path,
        ports: dict[str, int] | None = None,
        password: str | None = None,
        serving: str = RELEASES[-1],
    ) -> None:
        super().__init__(directory, dict(ports) if ports else _free_ports())
        self.password = password or secrets.token_urlsafe(24)
        self.configuration = self.data / "supervisord.conf"
        self._serving = serving
        self._url = self.data / "database_url"

    @property
    def command(self) -> str:
        """supervisorctl."""
        return str(_program("supervisorctl"))

    @property
    def releases(self) -> Path:
        """The directory that holds ``releases`` and ``current``."""
        return self.data / "web"

    def use(self, url: str) -> None:
        """Let the service find its database.

        Args:
            url: of it, password included.
        """
        self._url.touch(mode=0o600)
        self._url.write_text(url)
        privileges.own(self._url)

    def _prepare(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        web = self.releases
        for release in RELEASES:
            (web / "releases" / release).mkdir(parents=True, exist_ok=True)
            (web / "releases" / release / "release.txt").write_text(f"{release}\n")
            (web / "releases" / release / "customers.sql").write_text(f"{_CUSTOMERS[release]}\n")
        if not (web / "current").is_symlink():
            served = RELEASES[: RELEASES.index(self._serving) + 1]
            (web / "served.log").write_text("".join(f"{release}T09:00:00Z {release}\n" for release in served))
            (web / "current").symlink_to(f"releases/{self._serving}")

    def _command(self) -> list[str]:
        control = self.ports["control"]
        password = f"username = sandbox\npassword = {self.password}\n"
        service = Path(__file__).with_name("web.py")
        self.configuration.touch(mode=0o600)
        self.configuration.write_text(
            f"[supervisord]\nlogfile = {self.data}/supervisord.log\npidfile = {self.data}/supervisord.pid\n"
            f"childlogdir = {self.data}\n"
            f"[inet_http_server]\nport = 127.0.0.1:{control}\n{password}"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl = http://127.0.0.1:{control}\n{password}"
            + "".join(
                f"[program:{instance}]\n"
                f"command = {sys.executable} -B {service} {self.ports[instance]} {self.data}/broken {self._url}\n"
                f"directory = {self.releases}/current\n"
                for instance in self.instances
            )
        )
        for owned in (self.data, self.configuration):
            privileges.own(owned)
        return [sys.executable, str(_program("supervisord")), "-n", "-c", str(self.configuration)]

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.data)}

    def _serves(self) -> bool:
        """As supervisord says: a program that has only just begun may end again."""
        control = f"http://sandbox:{self.password}@127.0.0.1:{self.ports['control']}/RPC2"
        with suppress(OSError, xmlrpc.client.Error), xmlrpc.client.ServerProxy(control) as supervisord:
            told: Any = supervisord.supervisor.getAllProcessInfo()
            return all(program["statename"] == "RUNNING" for program in told)
        return False


def _program(name: str) -> Path:
    program = Path(sysconfig.get_path("scripts")) / name
    if not program.is_file():
        raise ToolError("the sandbox's supervisord is not installed", "Type: pip install 'pyinfra-ops[sandbox]'")
    return program


def _free_ports() -> dict[str, int]:
    found: dict[str, int] = {}
    for use in ("control", *WebServer.instances):
        found[use] = free(set(found.values()))
    return found
