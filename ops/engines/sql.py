"""Plain files of SQL, applied by psql, with a ledger of what was."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from itertools import takewhile
from pathlib import Path

import psycopg
from psycopg import sql

from ops.engines import tool
from ops.engines.base import Applied, Engine, Migration, Statement, Status, Target
from ops.errors import MigrationFailed, MigrationRefused
from ops.migrations import Sql
from ops.worker import tools
from ops.worker.connection import connect

_OUTSIDE = re.compile(r"^\s*--\s*transaction:\s*none\s*$", re.MULTILINE)
# psql's own commands could lead it elsewhere; the end of COPY's data is none.
_COMMAND = re.compile(r"^\s*\\(?!\.\s*$)", re.MULTILINE)
_OWN = re.compile(r"^\s*(BEGIN|COMMIT|ROLLBACK|END|START\s+TRANSACTION)\b[^;]*;", re.MULTILINE | re.IGNORECASE)
_TIME = re.compile(r"^Time: ([\d.]+) ms")
_TAG = re.compile(r"^(?:INSERT 0|UPDATE|DELETE|MERGE|COPY|SELECT) (\d+)$")
_ERROR = re.compile(r"(?:ERROR|FATAL): +(?:([0-9A-Z]{5}): )?(.*)$")


class SqlEngine(Engine):
    """A directory of plain files.

    Args:
        description: of it.
    """

    def __init__(self, description: Sql) -> None:
        super().__init__(description.table)
        self._directory = description.directory

    def status(self, connection: psycopg.Connection) -> Status:
        """See ``Engine``."""
        files = self._files()
        recorded = self._recorded(connection)
        finished = {id: checksum for id, checksum, done in recorded if done}
        return Status(
            current=next(reversed(finished), None),
            pending=tuple(_migration(path) for id, path in files.items() if id not in finished),
            failed=tuple(id for id, _, done in recorded if not done),
            unknown=tuple(id for id, _, _ in recorded if id not in files),
            changed=tuple(
                id for id, checksum in finished.items() if id in files and tool.digest(files[id]) != checksum
            ),
        )

    def current(self, connection: psycopg.Connection) -> str | None:
        """See ``Engine``."""
        return next((id for id, _, done in reversed(self._recorded(connection)) if done), None)

    def applied(self, connection: psycopg.Connection) -> tuple[Migration, ...]:
        """See ``Engine``."""
        files = self._files()
        return tuple(
            _migration(files[id], back=True) if id in files else Migration(id, id, "")
            for id, _, done in self._recorded(connection)
            if done
        )

    def _recorded(self, connection: psycopg.Connection) -> list[tuple[str, str, bool]]:
        if not self.has_account(connection):
            return []
        query = sql.SQL("SELECT id, checksum, finished IS NOT NULL FROM {} ORDER BY began, id")
        return connection.execute(query.format(self.account)).fetchall()

    def undone(self, id: str) -> str:
        """See ``Engine``."""
        return f"in psql: DELETE FROM {self.table} WHERE id = '{id}';"

    def _files(self) -> dict[str, Path]:
        paths = sorted(tool.directory(self._directory).glob("*.sql"))
        return {path.stem: path for path in paths if not path.name.endswith(".down.sql")}

    def up(self, target: Target, pending: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        applied = Applied()
        self._keep_a_ledger(target)
        for migration in pending:
            say(migration.name)
            checksum = tool.digest(Path(migration.file))
            done = self._record(migration.id, checksum)
            if not migration.transactional:
                # Written down before it is begun, so that one that is left half done is known.
                self._execute(target, self._record(migration.id, checksum, finished=False))
            applied.error = self._run(target, migration, Path(migration.file), done, applied.statements)
            if applied.error:
                break
            applied.migrations.append(migration.id)
        return applied

    def down(self, target: Target, migrations: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        applied = Applied()
        forget = sql.SQL("DELETE FROM {} WHERE id = {}")
        for migration in reversed(migrations):
            say(migration.name)
            gone = forget.format(self.account, sql.Literal(migration.id)).as_string(None)
            way_back = Path(migration.file).with_suffix(".down.sql")
            applied.error = self._run(target, migration, way_back, gone, applied.statements)
            if applied.error:
                break
            applied.migrations.append(migration.id)
        return applied

    def _run(
        self, target: Target, migration: Migration, file: Path, ledger: str, statements: list[Statement]
    ) -> MigrationFailed | None:
        psql = tools.psql(target.server.bin_dir)
        outside = _OUTSIDE.search(content := file.read_text())
        lines = frozenset(line.strip() for line in content.splitlines())
        command = [
            str(psql.path), "--no-psqlrc", "--echo-queries", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose",
            *([] if outside else ["--single-transaction"]), r"--command=\timing on",
            f"--file={file}", r"--command=\timing off", f"--command={ledger}",
        ]  # fmt: skip
        text: list[str] = []

        def heard(line: str, at: float) -> None:
            if found := _TIME.match(line):
                seconds = float(found[1]) / 1000
                rows = int(tag[1]) if text and (tag := _TAG.match(text[-1])) else None
                statements.append(Statement(migration.id, _said(text, lines), at - seconds, seconds, rows))
                text.clear()
            elif line.strip() and line != "Timing is on.":
                text.append(line)

        ran = tool.run(command, target, heard)
        if ran.code == 0:
            return None
        if not text and statements and statements[-1].migration == migration.id:
            text = [statements.pop().text]  # psql tells the time of one that failed as well
        code, said = next((found.groups() for line in ran.errors if (found := _ERROR.search(line))), ("", ran.said))
        return MigrationFailed.of(migration.id, said, _said(text, lines), code or "")

    def _keep_a_ledger(self, target: Target) -> None:
        self._execute(
            target,
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (id text PRIMARY KEY, checksum text NOT NULL,"
                " began timestamptz NOT NULL DEFAULT clock_timestamp(), finished timestamptz)"
            )
            .format(self.account)
            .as_string(None),
        )

    def _record(self, id: str, checksum: str, finished: bool = True) -> str:
        return (
            sql.SQL(
                "INSERT INTO {} (id, checksum, finished) VALUES ({}, {}, {}) ON CONFLICT (id)"
                " DO UPDATE SET checksum = excluded.checksum, finished = excluded.finished"
            )
            .format(
                self.account, sql.Literal(id), sql.Literal(checksum),
                sql.SQL("clock_timestamp()" if finished else "NULL"),
            )
            .as_string(None)
        )  # fmt: skip

    def _execute(self, target: Target, statement: str) -> None:
        with closing(connect(target.server, target.database)) as connection:
            connection.execute(statement.encode())


def _read(path: Path) -> str:
    """A file that psql can be given.

    Raises:
        MigrationRefused: it is no text, or would not do what it seems to.
    """
    text = tool.text(path)
    if found := _COMMAND.search(text):
        raise MigrationRefused(f"{path} line {_line(text, found)} is a command of psql", "Write SQL alone")
    if not _OUTSIDE.search(text) and (found := _OWN.search(_without_bodies(text))):
        raise MigrationRefused(
            f"{path} line {_line(text, found)} begins or ends a transaction, and the file is one already",
            "Take that out, or add a line that says: -- transaction: none",
        )
    return text


def _line(text: str, found: re.Match[str]) -> int:
    return text[: found.end()].count("\n") + 1


def _without_bodies(text: str) -> str:
    """The text with what stands between dollars blanked, line by line: a function's body has its own BEGIN and END."""
    return re.sub(r"(\$\w*\$).*?\1", lambda body: re.sub(r"[^\n]", " ", body[0]), text, flags=re.DOTALL)


def _migration(path: Path, back: bool = False) -> Migration:
    """One file; ``back``: it is told of its way back whether it is a transaction."""
    text = _read(path)
    file = path.with_suffix(".down.sql")
    has_down = file.is_file()
    way_back = _read(file) if has_down else ""
    return Migration(
        id=path.stem,
        name=path.stem,
        file=str(path),
        sql=text,
        has_down=has_down,
        transactional=not _OUTSIDE.search(way_back if back else text),
        digest=tool.digest(path) + (tool.digest(file) if has_down else ""),
        way_back=way_back,
    )


def _said(lines: list[str], file: frozenset[str]) -> str:
    """The statement among what psql printed, without what came of it, which may be rows that are nobody's business."""
    return "\n".join(takewhile(lambda line: line.strip() in file, lines))
