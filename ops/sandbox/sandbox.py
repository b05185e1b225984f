"""Both servers and the shop, with what must be remembered to start them again."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.environment import root
from ops.errors import ConfigurationError
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.s3 import S3Server

_HINT = "Type: python -m ops.sandbox up"


class Sandbox:
    """A PostgreSQL server with a shop in it and an S3 server with a bucket, on this machine.

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
        return str(self._up()[2]["shop"]["password"])

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

    def status(self) -> dict[str, bool]:
        """Which servers run, by name."""
        if not self._state_file.exists():
            return {PostgresServer.name: False, S3Server.name: False}
        return {server.name: server.running for server in self._servers(self._read())}

    def up(self) -> None:
        """Start what is down, on the same ports if they are free, and make the shop if it is absent.

        When it fails or is interrupted, what it started is stopped again. A second ``up`` waits for the first.

        Raises:
            ConfigurationError: there is data of servers whose passwords are lost.
            ToolError: a server cannot be started.
            DatabaseError: the shop cannot be made.
        """
        from ops.sandbox import shop

        with self._alone():
            state = self._read() if self._state_file.exists() else self._begin()
            postgres, s3 = self._servers(state)
            started = [server for server in (s3, postgres) if not server.running]
            try:
                # Both start at the same time: the S3 server needs a second, in which the shop is made.
                for server in started:
                    server.launch()
                for server in started:
                    server.wait()
                self._write({**state, "postgres": {**state["postgres"], "port": postgres.port}, "s3": {**state["s3"], "ports": s3.ports}})
                shop.create(postgres, state["shop"]["password"])
            except BaseException:
                for server in started:
                    server.stop()
                raise

    def down(self) -> None:
        """Stop what runs; the data stays."""
        if self._state_file.exists():
            with self._alone():
                for server in self._servers(self._read()):
                    server.stop()

    def _up(self) -> tuple[PostgresServer, S3Server, dict[str, Any]]:
        if not self._state_file.exists():
            raise ConfigurationError("the sandbox is down", _HINT)
        state = self._read()
        postgres, s3 = self._servers(state)
        if not (postgres.running and s3.running):
            raise ConfigurationError("the sandbox is down", _HINT)
        return postgres, s3, state

    def _servers(self, state: dict[str, Any]) -> tuple[PostgresServer, S3Server]:
        return (
            PostgresServer(self.directory / "postgres", **state["postgres"]),
            S3Server(self.directory / "s3", self.bucket, **state["s3"]),
        )
