"""A server of an older version than the one that tests have of their own, where this machine has one installed."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from ops.sandbox import privileges
from ops.sandbox.postgres import PostgresServer


def programs() -> Path | None:
    """Where its programs lie; None when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("1[456]/bin/postgres"))
    return found[0].parent if found else None


class OlderServer(PostgresServer):
    """As the one from a wheel, of the version that Debian has."""

    @property
    def bin_dir(self) -> Path:
        found = programs()
        assert found
        return found

    def init(self) -> None:
        self.data.mkdir(mode=0o700)
        privileges.own(self.data)
        with tempfile.NamedTemporaryFile("w", dir=self.directory) as file:
            file.write(self.password)
            file.flush()
            privileges.own(Path(file.name))
            words = [self.bin_dir / "initdb", "-D", self.data, "-U", self.user, f"--pwfile={file.name}", "-E", "UTF8"]
            more = ["--locale=C", "--auth=scram-sha-256", "--no-sync"]
            command, options = privileges.drop([*map(str, words), *more], reach=[self.data])
            subprocess.run(command, **options, env=self._environment(), cwd="/", check=True, capture_output=True)

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
