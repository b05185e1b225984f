"""A hot standby of a server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ops.sandbox import privileges
from ops.sandbox.postgres import PostgresServer


class Standby(PostgresServer):
    """It follows another server from the moment at which it was made.

    Args:
        directory: where it lives.
        primary: a running server.
        name: which it tells that server.
    """

    def __init__(self, directory: Path, primary: PostgresServer, name: str) -> None:
        super().__init__(directory, password=primary.password, settings=primary.settings)
        self._primary = primary
        self._name = name

    def _prepare(self) -> None:
        if self.data.exists():
            return
        self.data.mkdir(mode=0o700)
        privileges.own(self.data)
        where = f"host=127.0.0.1 port={self._primary.port} user=postgres application_name={self._name}"
        words = [str(self.bin_dir / "pg_basebackup"), "-D", str(self.data), "-R", "-c", "fast", "-X", "fetch", "-N"]
        command, options = privileges.drop([*words, "-d", where], reach=[self.data])
        environment = {"PATH": os.environ["PATH"], "PGPASSWORD": self.password}
        subprocess.run(command, **options, env=environment, cwd="/", check=True, capture_output=True, timeout=60)
