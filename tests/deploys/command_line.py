"""The command line as an operator types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.environment import root
from ops.sandbox.shop import Shop
from ops.storage import S3

INVENTORY = """
from ops import S3, Drill, Environment, Postgres, Retention, secret

environment = Environment(
    name="test",
    database=Postgres(url=secret("TEST_DATABASE_URL")),
    store=S3(endpoint="{endpoint}", bucket="{bucket}", prefix="{prefix}",
             access_key=secret("TEST_ACCESS_KEY"), secret_key=secret("TEST_SECRET_KEY")),
    retention=Retention({retention}),
    drill=Drill(jobs=2),
)
runner = environment.group("@local")
"""


@dataclass
class Typed:
    """What came of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """What the operator read."""
        return [line.strip().removeprefix("[@local]").strip() for line in self.stderr.splitlines()]

    def results(self) -> dict[str, str]:
        """What ``--json`` says became of each operation."""
        answer = json.loads(self.stdout)
        return {
            operation["name"]: next(key for key in ("success", "error", "no_change") if operation[key])
            for operation in answer["results"]["operations"]
        }


class CommandLine:
    """pyinfra with an inventory of the test's own.

    Args:
        place: where the inventory is written.
        shop: the database to back up.
        store: where to.
    """

    def __init__(self, place: Path, shop: Shop, store: S3, retention: str = "") -> None:
        self.inventory = place / "test.py"
        self.inventory.write_text(
            INVENTORY.format(endpoint=store.endpoint, bucket=store.bucket, prefix=store.prefix, retention=retention)
        )
        self.secrets = {
            "TEST_DATABASE_URL": shop.url,
            "TEST_ACCESS_KEY": store.access_key.reveal(),
            "TEST_SECRET_KEY": store.secret_key.reveal(),
        }

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).with_name("pyinfra")), str(self.inventory), *arguments]

    def start(self, *arguments: str, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Type it, in a process group of its own as a shell does, and do not wait."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=root(),
            env={**os.environ, **self.secrets},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def type(self, *arguments: str, **environment: Any) -> Typed:
        """Type ``pyinfra INVENTORY …`` and wait for its end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=root(),
            env={**os.environ, **self.secrets, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Typed(done.returncode, done.stdout, done.stderr)
