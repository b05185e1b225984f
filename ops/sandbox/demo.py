"""The main job in one sitting: take a backup, prove it, damage it, see that the damage is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg

from ops.environment import root
from ops.errors import OpsError
from ops.sandbox.sandbox import Sandbox
from ops.stores import Store, open_store

# What pyinfra prints about itself; the demo shows what came of the operations.
_BORING = re.compile(r"^-->|^Loading|^Connected|^Ready:|executed 0 commands")


class Demo:
    """A sandbox of its own, and the real command line against it.

    Args:
        directory: where the sandbox lies; it goes when the demo ends.
    """

    def __init__(self, directory: Path) -> None:
        self._sandbox = Sandbox(directory / "sandbox")
        self._environment = {**os.environ, "OPS_SANDBOX": str(self._sandbox.directory)}

    def run(self) -> int:
        """Tell the whole story; answers 0 when every step came out as it must."""
        _tell("A PostgreSQL and an S3 server start on this machine, and a shop is made.")
        try:
            self._sandbox.up()
            self._describe()
            as_expected = self._story()
        finally:
            self._sandbox.down()
        if as_expected:
            _tell("The damage was found, and a new backup is proven. All servers are stopped, nothing is left.")
            return 0
        _tell("Something did not come out as it must: see above.")
        return 1

    def _story(self) -> bool:
        return all(
            [
                self._type("backup.py", expect=0),
                self._type("drill.py", expect=0),
                self._type("backup.py", expect=0, why="Again: nothing to do."),
                self._damage(),
                self._type("backup.py", expect=1),
                self._type("backup.py", expect=0, why="Again: a failed backup does not count, so a new one is taken."),
                self._type("drill.py", expect=0),
                self._type("backups.py", expect=0),
            ]
        )

    def _describe(self) -> None:
        with closing(psycopg.connect(self._sandbox.database_url)) as connection:
            row = connection.execute(
                "SELECT split_part(version(), ' ', 2), pg_size_pretty(pg_database_size(current_database()))"
            ).fetchone()
        assert row is not None
        _out(f"PostgreSQL {row[0]}, database shop of {row[1]}; S3 at {self._sandbox.endpoint}")

    def _type(self, deploy: str, expect: int, why: str = "") -> bool:
        if why:
            _tell(why)
        _tell(f"$ pyinfra -y local deploys/{deploy}", before="" if why else "\n")
        done = subprocess.run(
            [Path(sys.executable).with_name("pyinfra"), "-y", "local", f"deploys/{deploy}"],
            cwd=root(),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in done.stdout.partition("--> Results:")[0].splitlines():
            line = line.strip().removeprefix("[@local]").strip()
            if line and not _BORING.search(line):
                _out(line)
        if done.returncode != expect:
            _out(f"exit code {done.returncode}, expected was {expect}\n{done.stdout}")
        elif expect:
            _out(f"exit code {done.returncode}, as it must be")
        return done.returncode == expect

    def _damage(self) -> bool:
        """Flip one byte in the middle of the newest dump, as a failing disk might."""
        store = self._store()
        key = max(entry.key for entry in store.list() if entry.key.endswith("database.dump"))
        content = bytearray(store.read(key)[0])
        middle = len(content) // 2
        content[middle] ^= 0x01
        store.write(key, bytes(content))
        _tell(f"One bit of {key} is flipped in the bucket, at byte {middle}.")
        return True

    def _store(self) -> Store:
        return open_store(self._sandbox.s3.description(prefix="backups"))


def _tell(line: str, before: str = "\n") -> None:
    bold = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    sys.stdout.write(f"{before}{bold[0]}{line}{bold[1]}\n")
    sys.stdout.flush()


def _out(line: str) -> None:
    sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the demo; Ctrl-C stops the servers too."""
    with tempfile.TemporaryDirectory(prefix="ops-demo-") as directory:
        try:
            return Demo(Path(directory)).run()
        except OpsError as error:
            sys.stderr.write(f"{error}\n")
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted; the servers are stopped\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
