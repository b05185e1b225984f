"""A site to break: a database, a store, a server for drills, and the promises that hold whatever is broken.

What is broken is the worker in a process of its own, the request on standard input. What is done before and after,
with everything in order, runs in this process, which is quicker and the same code.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
from forked import Forked

from ops import S3, Directory, Postgres
from ops.errors import OpsError
from ops.sandbox.postgres import PostgresServer
from ops.secrets import revealed
from ops.stores import Store, open_store
from ops.worker import drill, dump
from ops.worker.catalogue import DUMP, GLOBALS, Backup, Catalogue
from ops.worker.check import intact, read
from ops.worker.progress import Meter
from ops.worker.request import Request

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Run:
    """One run of the worker."""

    process: subprocess.Popen[str] | Forked
    secrets: tuple[str, ...]
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def wait(self, timeout: float = 120) -> Self:
        """Wait for its end, and look whether it kept its secrets."""
        self.output, self.progress = self.process.communicate(timeout=timeout)
        self.seconds = time.monotonic() - self.began
        for secret in self.secrets:
            assert secret not in self.output + self.progress
        return self

    @property
    def answer(self) -> dict[str, Any]:
        """What it answered; nothing when it was killed."""
        return dict(json.loads(self.output)["answer"]) if self.output else {}

    @property
    def succeeded(self) -> bool:
        return self.process.returncode == 0

    def refuses(self, error: type[OpsError] | None = None, words: str = "") -> None:
        """Assert that it failed in one line that says what happened, and one that says what to do."""
        assert self.process.returncode == 1, (self.process.returncode, self.output, self.progress)
        assert "Traceback" not in self.output + self.progress
        for line in ("message", "hint"):
            assert self.answer[line], self.answer
            assert "\n" not in self.answer[line]
        assert "This is a bug" not in self.answer["hint"], self.answer
        if error is not None:
            assert self.answer["error"] == error.__name__, self.answer
        assert re.search(words, f"{self.answer['message']}. {self.answer['hint']}"), self.answer

    def succeeds(self) -> dict[str, Any]:
        """Assert that it did; its answer."""
        assert self.process.returncode == 0, (self.process.returncode, self.output, self.progress)
        return self.answer

    def child(self, name: str) -> psutil.Process:
        """Wait until it has started this program, and not only to ask it for its version."""
        deadline = time.monotonic() + 20
        worker = psutil.Process(self.process.pid)
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                for child in worker.children():
                    with suppress(psutil.NoSuchProcess):
                        if child.name() == name and "--dbname=service=ops" in child.cmdline():
                            return child
            time.sleep(0.03)
        raise AssertionError(f"{name} was not started: {self.wait().output}")

    def left(self) -> list[psutil.Process]:
        """What it started that still runs, whoever its parent may be now."""
        found = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                ours = os.getsid(process.pid) == self.process.pid != process.pid
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


@dataclass(frozen=True)
class Site:
    """What is broken, and what is promised of it.

    Args:
        environment: its name, which no other site has.
        postgres: the server, to look at from outside.
        database: what is dumped.
        server: where drills restore.
        store: where backups go.
        temporary: the worker's directory for temporary files.
        variables: of the worker's environment, besides the usual ones.
        hasty: give up soon on a store that does not answer, and fork; else the worker as the product starts it.
    """

    environment: str
    postgres: PostgresServer
    database: Postgres
    server: Postgres
    store: S3 | Directory
    temporary: Path
    variables: dict[str, str] = field(default_factory=dict)
    hasty: bool = True
    runs: list[Run] = field(default_factory=list)

    def but(self, **changes: Any) -> Site:
        """The same site with something else about it."""
        return dataclasses.replace(self, **changes)

    def with_database(self, **changes: Any) -> Site:
        """The same site with another way to its database."""
        return self.but(database=Postgres(**{**revealed(self.database), **changes}))

    def with_server(self, **changes: Any) -> Site:
        """The same site with another way to its server for drills."""
        return self.but(server=Postgres(**{**revealed(self.server), **changes}))

    def with_store(self, **changes: Any) -> Site:
        """The same site with another way to its store."""
        return self.but(store=type(self.store)(**{**revealed(self.store), **changes}))

    def request(self, verb: str, **arguments: Any) -> dict[str, Any]:
        needs: dict[str, Any] = {
            "dump": {"database": revealed(self.database)},
            "drill": {"server": revealed(self.server), "jobs": 2},
            "restore": {"server": revealed(self.server), "jobs": 2, "target": f"{self.environment}_restored"},
        }
        return {
            "environment": self.environment,
            "database_name": self.database.name(),
            "owner": "tester@here",
            "store": revealed(self.store),
            **needs.get(verb, {}),
            **arguments,
        }

    def begin(self, verb: str, **arguments: Any) -> Run:
        """Start the worker and do not wait."""
        told = json.dumps(self.request(verb, **arguments)) + "\n"
        variables = {"TMPDIR": str(self.temporary), **self.variables}
        process = Forked(verb, told, variables) if self.hasty else _typed(verb, told, variables)
        secrets = [part.password.reveal() for part in (self.database, self.server) if part.password]
        if isinstance(self.store, S3):
            secrets.append(self.store.secret_key.reveal())
        run = Run(process, tuple(secrets))
        self.runs.append(run)
        return run

    def ask(self, verb: str, **arguments: Any) -> Run:
        """Run the worker to its end."""
        return self.begin(verb, **arguments).wait()

    def dump(self, **arguments: Any) -> str:
        """Take a backup, here; its id."""
        return str(dump.run(Request(**self.request("dump", **arguments)))["backup"]["id"])

    @cached_property
    def opened(self) -> Store:
        """The store itself."""
        return open_store(self.store)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Names of what lies in the store."""
        return Catalogue(self.opened, self.environment, self.database.name())

    def key(self, id: str, file: str) -> str:
        """Where a backup's file lies."""
        return self.catalogue.key(id, file)

    def backups(self) -> dict[str, Backup]:
        """Each backup as it would be listed, by id."""
        self.catalogue.forget()
        return {backup.id: backup for backup in self.catalogue.all()}

    def states(self) -> dict[str, str]:
        """Each backup's state, by id."""
        return {id: str(backup.state) for id, backup in self.backups().items()}

    def checks(self, backup: Backup) -> None:
        """Assert that a backup can be read as it was written; ``BackupDamaged`` otherwise."""
        manifest = intact(backup)
        for file, stated in ((DUMP, manifest.dump), (GLOBALS, manifest.globals)):
            read(self.opened, self.key(backup.id, file), stated, Meter())

    def keeps_its_word(self, known: dict[str, str], *runs: Run) -> None:
        """Assert that nothing is listed but what was known or what a run said, and that all of that is intact.

        Args:
            known: the states from before.
            runs: what was done since; a run that was killed at its very end may have been unable to say so.
        """
        backups = self.backups()
        said = {run.answer["backup"]["id"] for run in runs if run.succeeded}
        killed = any(run.process.returncode < 0 for run in runs)
        assert known.keys() | said <= backups.keys()
        assert killed or backups.keys() == known.keys() | said
        for backup in backups.values():
            if backup.sound:
                self.checks(backup)

    def recovers(self) -> str:
        """Assert that the next run succeeds and that nothing is left of the ones before; the new backup's id."""
        id = self.dump()
        self.is_clean()
        assert self.states()[id] == "unproven"
        return id

    def proves(self, id: str) -> None:
        """Assert that a backup can be restored, and that no drill leaves anything."""
        answer = drill.run(Request(**self.request("drill", backup=id)))
        assert answer["backup"]["state"] == self.states()[id] == "proven"
        assert self.scratch_databases() == []
        self.is_clean()

    def is_clean(self) -> None:
        """Assert that there is no file without a manifest, no upload, no program, no temporary file."""
        files: dict[str, set[str]] = {}
        for entry in self.opened.list():
            *_, id, name = entry.key.split("/")
            if not name.endswith(".lock"):
                files.setdefault(id, set()).add(name)
        assert [id for id, names in files.items() if "manifest.json" not in names] == []
        assert self.opened.abort_uploads("") == 0
        assert _within(10, lambda: not any(run.left() for run in self.runs)), "programs are left"
        assert os.listdir(self.temporary) == []

    def scratch_databases(self) -> list[str]:
        """What drills of this site left on the server."""
        return self.databases(f"ops_drill_{self.environment}")

    def databases(self, beginning: str) -> list[str]:
        """Those on the server whose names begin so."""
        with psycopg.connect(self.postgres.url()) as connection:
            query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
            return [row[0] for row in connection.execute(query, [beginning])]


def _typed(verb: str, request: str, variables: dict[str, str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.worker", verb],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(request)
    process.stdin.close()
    process.stdin = None
    return process


def _within(seconds: float, holds: Any) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
