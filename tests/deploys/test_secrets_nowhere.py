"""Secrets with a mark in them are looked for everywhere they could leak to, while and after everything runs."""

from __future__ import annotations

import dataclasses
import os
import secrets
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest
from command_line import CommandLine
from psycopg import sql

from ops.environment import root
from ops.stores import open_store
from ops.worker import tools

pytestmark = pytest.mark.slow

MARK = f"mark{secrets.token_hex(6)}"


@pytest.fixture
def marked(tmp_path, shop, store_s3, postgres):
    """An environment whose password carries the mark, and a second run's wrong keys that do too."""
    role = f"{shop.name}_marked"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {} IN ROLE shop_owner").format(
                sql.Identifier(role), sql.Literal(f"{MARK}password")
            )
        )
    yield CommandLine(tmp_path, dataclasses.replace(shop, user=role, password=f"{MARK}password"), store_s3)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


class Watch(threading.Thread):
    """Reads every process's arguments, and the environment of each descendant of ours, as often as it can."""

    def __init__(self, typed: int, needles: list[bytes]) -> None:
        super().__init__(daemon=True)
        self.typed = typed
        # What it becomes lets go of our pipe before its arguments can be read.
        while b"pyinfra" not in (own := Path(f"/proc/{typed}/cmdline").read_bytes()):
            time.sleep(0.001)
        self.own = own
        self.needles = needles
        self.leaks: set[str] = set()
        self.seen: set[str] = set()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            for place in Path("/proc").glob("[0-9]*"):
                try:
                    arguments = (place / "cmdline").read_bytes()
                    self._look(f"arguments of {place.name}", arguments)
                    # A fork that has not become another program yet is still the one that was typed.
                    if arguments != self.own and self._descends(int(place.name)):
                        # A script is known by its second word.
                        self.seen |= {word.decode().rpartition("/")[2] for word in arguments.split(b"\0")[:2]}
                        self._look(f"environment of {arguments[:80]!r}", (place / "environ").read_bytes())
                except (OSError, ValueError, IndexError):
                    continue  # it has ended

    def _look(self, where: str, content: bytes) -> None:
        if any(needle in content for needle in self.needles):
            self.leaks.add(where)

    def _descends(self, pid: int) -> bool:
        """Whether a process was started by the one that was typed, which itself was given the secrets to use."""
        while pid > 1:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if pid == self.typed:
                return True
        return False


@pytest.fixture
def slow(tmp_path):
    """PostgreSQL's programs, begun half a second late: with the arguments and the environment that they then have."""
    place = tmp_path / "slow"
    place.mkdir()
    for name in ("pg_dump", "pg_dumpall", "pg_restore"):
        program = place / name
        real = tools.psql(None).path.with_name(name)
        program.write_text(f'#!/bin/sh\n[ "$1" = --version ] || sleep 0.5\nexec {real} "$@"\n')
        program.chmod(0o755)
    return place


@pytest.mark.parametrize("wrong", [False, True], ids=["right keys", "wrong keys"])
def test_secrets_are_found_nowhere(marked, store_s3, tmp_path, slow, wrong):
    if wrong:
        marked.secrets["TEST_SECRET_KEY"] = f"{MARK}key"
    values = [marked.secrets["TEST_SECRET_KEY"], f"{MARK}password"]
    needles = [value.encode() for value in values]
    everything = ["deploys/backup.py", "deploys/drill.py", "deploys/backups.py", "deploys/runner.py"]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        marked.command("-y", "--debug", "-vvv", *everything),
        cwd=root(),
        env={**os.environ, **marked.secrets, "TMPDIR": str(temporary), "PATH": f"{slow}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    watch = Watch(process.pid, needles)
    watch.start()
    output = process.communicate()[0]
    watch.over.set()
    watch.join()
    assert (process.returncode == 0) is not wrong, output.decode()
    assert not watch.leaks
    if not wrong:
        assert {"pg_dump", "pg_restore"} <= watch.seen, "the watch saw the children whose secrets it looks for"
    for needle in needles:
        assert needle not in output
        for file in [*temporary.rglob("*"), *tmp_path.rglob("*"), root() / "pyinfra-debug.log"]:
            assert not file.is_file() or needle not in file.read_bytes(), file
    if not wrong:
        store = open_store(store_s3)
        for entry in store.list():
            content = store.read(entry.key)[0]
            assert not any(needle in content for needle in needles), entry.key


def test_no_way_to_look_at_an_inventory_shows_a_secret(marked):
    for arguments in (
        ["debug-inventory"],
        ["debug-inventory", "--json"],
        ["-y", "--debug-operations", "deploys/backup.py"],
        ["--debug", "--debug-operations", "--json", "deploys/backup.py"],
        ["-vvv", "--debug", "fact", "ops.facts.backups.Backups"],
    ):
        shown = marked.type(*arguments)
        assert MARK not in shown.stdout + shown.stderr, arguments
        assert marked.secrets["TEST_SECRET_KEY"] not in shown.stdout + shown.stderr, arguments


def test_a_mistake_beside_a_secret_does_not_show_it(marked):
    marked.secrets["TEST_DATABASE_URL"] = f"postgresql://u:{MARK}@[broken/shop"
    shown = marked.type("-y", "--debug", "-vvv", "deploys/backup.py")
    assert shown.code != 0
    assert MARK not in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr
