"""Any other tool, by its command lines; what it applied is read in its own table."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg

from ops.engines import tool
from ops.engines.base import Applied, Engine, Migration, Statement, Status, Target, one_by_one
from ops.engines.url import sslmode, url
from ops.errors import MigrationFailed
from ops.migrations import Command
from ops.worker.connection import connect


class CommandEngine(Engine):
    """A tool of which nothing is known but how to call it: so nothing smaller than a call of it is measured.

    Args:
        description: of it.
    """

    applies_all = True

    def __init__(self, description: Command) -> None:
        super().__init__(description.table)
        self._description = description

    def status(self, connection: psycopg.Connection) -> Status:
        """See ``Engine``."""
        directory = tool.directory(self._description.directory)
        files = {path.stem: path for path in sorted(directory.glob(self._description.files))}
        applied = self._applied(connection)
        return Status(
            current=applied[-1] if applied else None,
            pending=tuple(self._migration(path) for id, path in files.items() if id not in applied),
            unknown=tuple(id for id in applied if id not in files),
        )

    def current(self, connection: psycopg.Connection) -> str | None:
        """See ``Engine``."""
        return next(reversed(self._applied(connection)), None)

    def applied(self, connection: psycopg.Connection) -> tuple[Migration, ...]:
        """See ``Engine``."""
        directory = tool.directory(self._description.directory)
        files = {path.stem: path for path in directory.glob(self._description.files)}
        return tuple(self._migration(files[id]) if id in files else Migration(id, id, "")
                     for id in self._applied(connection))  # fmt: skip

    def _applied(self, connection: psycopg.Connection) -> list[str]:
        if not self.has_account(connection):
            return []
        return [str(id) for (id, *_) in connection.execute(self._description.applied.encode())]

    def _migration(self, path: Path) -> Migration:
        # Whether it is a transaction is not known, so it is not begun again.
        return Migration(
            path.stem, path.stem, str(path), tool.text(path) if path.suffix == ".sql" else "",
            has_down=self._description.down is not None, transactional=False, digest=tool.digest(path),
        )  # fmt: skip

    def up(self, target: Target, pending: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        for migration in pending:
            say(migration.name)
        return self._run(target, self._description.up, pending, gone=False)

    def down(self, target: Target, migrations: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""

        def undo(migration: Migration) -> Applied:
            say(migration.name)
            return self._run(target, self._description.down or "false", (migration,), gone=True)

        return one_by_one(migrations, undo)

    def _run(self, target: Target, line: str, of: tuple[Migration, ...], gone: bool) -> Applied:
        """Run a command line; what it applied or undid is what its table says afterwards."""
        began = time.monotonic()
        directory = tool.directory(self._description.directory)
        printed: list[str] = []
        more = {"DATABASE_URL": url(target, sslmode=sslmode(target)), **self._description.environment}
        command = ["sh", "-c", line]
        ran = tool.run(command, target, lambda line, at: printed.append(line), directory, more=more)
        with closing(connect(target.server, target.database)) as connection:
            applied = self._applied(connection)
        answer = Applied([Statement(of[0].id, line, began, time.monotonic() - began)])
        answer.migrations = [one.id for one in of if (one.id in applied) is not gone]
        failed = next((one for one in of if one.id not in answer.migrations), None)
        if ran.code or failed:
            said = ran.said if ran.errors else (printed[-1] if printed else ran.said)
            answer.error = MigrationFailed.of((failed or of[-1]).id, said, failed.sql if failed else "")
        return answer
