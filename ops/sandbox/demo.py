"""The main jobs in one sitting, with the real command line on real servers.

    python -m ops.sandbox.demo [rollback | damage]

``rollback``: three releases, the last of which is broken and has a migration that the one before cannot live with; back
to the one before, with the database. ``damage``: a backup, its proof, one bit that flips, and how that is found.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg

from ops.environment import root
from ops.errors import OpsError
from ops.sandbox.sandbox import Sandbox
from ops.sandbox.supervisor import RELEASES
from ops.stores import open_store

# What pyinfra prints about itself; the demo shows what came of the operations.
_BORING = re.compile(
    r"^-->|^Loading|^Connected|^Ready:|executed \d+ commands?|^Success$|^No changes$|^\| |^dumped|^fetched|^counted"
)
_ACTIVATE = ("ops.operations.services.activate", "service=web")
_RENAME = "ALTER TABLE customers RENAME COLUMN name TO full_name;\n"


class Demo:
    """A sandbox of its own, and the real command line against it.

    Args:
        directory: where the sandbox lies; it goes when the demo ends.
    """

    def __init__(self, directory: Path) -> None:
        self._sandbox = Sandbox(directory / "sandbox")
        self._environment = {**os.environ, "OPS_SANDBOX": str(self._sandbox.directory)}
        self._as_expected = True

    def run(self, story: Callable[[Demo], str]) -> int:
        """Tell the whole story; answers 0 when every step came out as it must."""
        tell("A PostgreSQL, an S3 server and a web service start on this machine, and a shop is made.")
        try:
            self._sandbox.up()
            self._describe()
            end = story(self)
        finally:
            self._sandbox.down()
        if self._as_expected:
            tell(f"{end} All servers are stopped, nothing is left.")
            return 0
        tell("Something did not come out as it must: see above.")
        return 1

    def _describe(self) -> None:
        with closing(psycopg.connect(self._sandbox.database_url)) as connection:
            row = connection.execute(
                "SELECT split_part(version(), ' ', 2), pg_size_pretty(pg_database_size(current_database()))"
            ).fetchone()
        assert row is not None
        _out(f"PostgreSQL {row[0]}, database shop of {row[1]}; S3 at {self._sandbox.endpoint}; web {RELEASES[0]}")

    def type(self, *words: str, expect: int = 0, why: str = "") -> None:
        """Type ``pyinfra -y local …`` and print what came of it.

        Args:
            words: after that; ``backup.py`` for ``deploys/backup.py``.
            expect: the exit code that it must have.
            why: a line before it.
        """
        if why:
            tell(why)
        words = tuple(f"deploys/{word}" if word.endswith(".py") else word for word in words)
        tell(f"$ pyinfra -y local {' '.join(words)}", before="" if why else "\n")
        done = subprocess.run(
            [Path(sys.executable).with_name("pyinfra"), "-y", "local", *words],
            cwd=root(),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in done.stdout.partition("--> Results:")[0].splitlines():
            line = line.removeprefix("    ").removeprefix("[@local]").rstrip()
            if line.strip() and not _BORING.search(line.strip()):
                _out(line.removeprefix(" "))
        if done.returncode != expect:
            _out(f"exit code {done.returncode}, expected was {expect}\n{done.stdout}")
            self._as_expected = False
        elif expect:
            _out(f"exit code {done.returncode}, as it must be")

    def visit(self, expect: int) -> None:
        """Ask the running program itself, as a visitor would.

        Args:
            expect: the code of HTTP that it must answer.
        """
        url = f"http://127.0.0.1:{self._sandbox.web_ports[0]}"
        release = urllib.request.urlopen(url, timeout=10).read().decode()
        try:
            with urllib.request.urlopen(f"{url}/customers", timeout=10) as answer:  # noqa: S310
                code, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            code, text = error.code, error.read().decode()
        tell(f"$ curl {url}/customers")
        _out(f"{code}: {text} (release {release})")
        self._as_expected &= code == expect

    def write(self, name: str, text: str) -> None:
        """Add a migration to the application's code."""
        (self._sandbox.migrations / name).write_text(text)

    def damage(self) -> None:
        """Flip one bit in the middle of the newest dump, as a failing disk might."""
        store = open_store(self._sandbox.s3.description(prefix="backups"))
        key = max(entry.key for entry in store.list() if entry.key.endswith("database.dump"))
        content = bytearray(store.read(key)[0])
        middle = len(content) // 2
        content[middle] ^= 0x01
        store.write(key, bytes(content))
        tell(f"One bit of {key} is flipped in the bucket, at byte {middle}.")


def damage(demo: Demo) -> str:
    """A backup, its proof, one bit that flips, and how that is found."""
    demo.type("backup.py")
    demo.type("drill.py")
    demo.type("backup.py", why="Again: nothing to do.")
    demo.damage()
    demo.type("backup.py", expect=1)
    demo.type("backup.py", why="Again: a failed backup does not count, so a new one is taken.")
    demo.type("drill.py")
    demo.type("backups.py")
    return "The damage was found, and a new backup is proven."


def rollback(demo: Demo) -> str:
    """Three releases, the last of which is broken; back to the one before, with the database."""
    demo.type("migrate.py", why="Release 2 brings two migrations that release 1 can live with.")
    demo.type(*_ACTIVATE, f"release={RELEASES[1]}")
    demo.visit(expect=200)
    demo.type("backup.py", "--data", "max_age=0s", why="A backup, and its proof by a restore.")
    demo.type("drill.py")
    demo.write("0003_customers_full_name.sql", _RENAME)
    demo.type("migrate.py", why="Release 3 renames a column, and its code is broken.")
    demo.type(*_ACTIVATE, f"release={RELEASES[2]}")
    demo.visit(expect=500)
    demo.type("rollback.py", expect=1, why="Back. Nothing that could lose data is done without being asked for.")
    demo.type("rollback.py", "--data", "database=restore", "--data", "reason=customers-fail")
    demo.visit(expect=200)
    demo.type("rollback.py", why="Again: nothing to do.")
    demo.type("history.py")
    return "Release 2 serves again, on the database that it knows; the other one is kept."


STORIES = {"rollback": rollback, "damage": damage}


def tell(line: str, before: str = "\n") -> None:
    """Print a line of the story."""
    bold = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    sys.stdout.write(f"{before}{bold[0]}{line}{bold[1]}\n")
    sys.stdout.flush()


def _out(line: str) -> None:
    sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the demo; Ctrl-C stops the servers too."""
    asked = sys.argv[1] if len(sys.argv) > 1 else "rollback"
    if asked not in STORIES:
        sys.stderr.write(f"there is no story {asked}; there are: {', '.join(STORIES)}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="ops-demo-") as directory:
        try:
            return Demo(Path(directory)).run(STORIES[asked])
        except OpsError as error:
            sys.stderr.write(f"{error}\n")
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted; the servers are stopped\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
