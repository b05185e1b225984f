"""The servers, the shop and the web service, with what must be remembered to start them again."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.environment import root
from ops.errors import ConfigurationError
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.s3 import S3Server
from ops.sandbox.server import Server
from ops.sandbox.supervisor import RELEASES, WebServer


class Sandbox:
    """A PostgreSQL server with a shop in it, an S3 server with a bucket, and a web service, on this machine.

    Its properties are for inventories; each raises ``ConfigurationError`` while the sandbox is down.

    Args:
        directory: where everything of it lies; its parent must exist.
    """

    bucket = "shop-backups"

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._state_file = self.directory / "state.json"

    @property
    def postgres(self) -> PostgresServer:
        """The running PostgreSQL server."""
        return self._up()[0]

    @property
    def s3(self) -> S3Server:
        """The running S3 server."""
        return self._up()[1]

    @property
    def web(self) -> WebServer:
        """The running supervisord of the web service."""
        return self._up()[2]

    @property
    def postgres_port(self) -> int:
        """TCP port of PostgreSQL on 127.0.0.1."""
        return self.postgres.port

    @property
    def database(self) -> str:
        """The shop's database."""
        return "shop"

    @property
    def database_user(self) -> str:
        """The role that owns the shop's database."""
        return "shop_owner"

    @property
    def database_password(self) -> str:
        """Its password."""
        return str(self._up()[3]["shop"]["password"])

    @property
    def database_url(self) -> str:
        """Connection URL of the shop's database, password included."""
        return self.postgres.url(self.database, self.database_user, self.database_password)

    @property
    def endpoint(self) -> str:
        """URL of the S3 server."""
        return self.s3.endpoint

    @property
    def access_key(self) -> str:
        """Access key id of the S3 server."""
        return self.s3.access_key

    @property
    def secret_key(self) -> str:
        """Secret access key of the S3 server."""
        return self.s3.secret_key

    @property
    def web_configuration(self) -> str:
        """supervisord's configuration file."""
        return str(self.web.configuration)

    @property
    def web_command(self) -> str:
        """supervisorctl."""
        return self.web.command

    @property
    def web_releases(self) -> str:
        """The directory of the web service's releases."""
        return str(self.web.releases)

    @property
    def web_ports(self) -> list[int]:
        """TCP ports of its instances on 127.0.0.1."""
        return [self.web.ports[instance] for instance in self.web.instances]

    @property
    def migrations(self) -> Path:
        """The directory of the shop's migrations: to be added to."""
        return self.directory / "migrations"

    def _copy_migrations(self) -> None:
        if not self.migrations.exists():
            shutil.copytree(Path(__file__).with_name("migrations"), self.migrations)

    def servers(self) -> tuple[PostgresServer, S3Server, WebServer]:
        """All servers, whether they run or not."""
        return self._servers(self._read())

    def up(self) -> None:
        """Start what is down, on the same ports if they are free, and make the shop if it is absent.

        When it fails or is interrupted, what it started is stopped again. A second ``up`` waits for the first.

        Raises:
            ConfigurationError: there is data of servers whose passwords are lost.
            ToolError: a server cannot be started.
            DatabaseError: the shop cannot be made.
        """
        from ops.sandbox import shop

        self.directory.mkdir(exist_ok=True)
        with self._alone():
            state = self._read() or self._begin()
            postgres, s3, web = self._servers(state)
            started: list[Server] = [server for server in (s3, web, postgres) if not server.running]
            try:
                # The S3 server needs a second to start; the shop is made meanwhile.
                for server in started:
                    server.launch()
                self._remember_ports(state, postgres, s3, web)
                postgres.wait()
                shop.create(postgres, state["shop"]["password"], monitors=True)
                web.use(postgres.url(self.database, self.database_user, state["shop"]["password"]))
                self._copy_migrations()
                web.wait()
                s3.wait()
                self._remember_ports(state, postgres, s3, web)
            except BaseException:
                for server in started:
                    server.stop()
                raise

    def down(self) -> None:
        """Stop what runs; the data stays."""
        if self.directory.is_dir():
            with self._alone():
                for server in self.servers():
                    server.stop()

    def _up(self) -> tuple[PostgresServer, S3Server, WebServer, dict[str, Any]]:
        state = self._read()
        servers = self._servers(state)
        if not (state and all(server.running for server in servers)):
            raise ConfigurationError("the sandbox is down", "Type: python -m ops.sandbox up")
        return *servers, state

    def _servers(self, state: dict[str, Any]) -> tuple[PostgresServer, S3Server, WebServer]:
        return (
            PostgresServer(self.directory / "postgres", **state.get("postgres", {})),
            S3Server(self.directory / "s3", self.bucket, **state.get("s3", {})),
            WebServer(self.directory / "web", **state.get("web", {}), serving=RELEASES[0]),
        )

    def _begin(self) -> dict[str, Any]:
        """Passwords are written down before the servers are made with them, so that none can be lost."""
        postgres, s3, web = self._servers({})
        if postgres.data.exists():
            raise ConfigurationError(
                f"{self._state_file} is gone, and with it the passwords of the data beside it",
                f"To begin afresh, type: python -m ops.sandbox down, and remove {self.directory}",
            )
        state = {
            "postgres": {"password": postgres.password},
            "s3": {"access_key": s3.access_key, "secret_key": s3.secret_key},
            "web": {"password": web.password},
            "shop": {"password": secrets.token_urlsafe(24)},
        }
        self._write(state)
        return state

    def _remember_ports(self, state: dict[str, Any], postgres: PostgresServer, s3: S3Server, web: WebServer) -> None:
        state["postgres"]["port"] = postgres.port
        state["s3"]["ports"] = s3.ports
        state["web"]["ports"] = web.ports
        self._write(state)

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._state_file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise ConfigurationError(
                f"{self._state_file} is damaged", f"To begin afresh, remove {self.directory}"
            ) from None
        return state

    def _write(self, state: dict[str, Any]) -> None:
        new = self._state_file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(state, indent=2) + "\n")
        new.replace(self._state_file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.directory / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


sandbox = Sandbox(Path(os.environ.get("OPS_SANDBOX") or root() / ".sandbox"))
