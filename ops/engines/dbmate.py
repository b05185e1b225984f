"""dbmate, by its command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg import sql

from ops.engines import tool
from ops.engines.base import Applied, Engine, Migration, Statement, Status, Target, one_by_one
from ops.engines.url import options, sslmode, url
from ops.errors import MigrationFailed, MigrationRefused
from ops.migrations import Dbmate

_SECTION = re.compile(r"^--\s*migrate:(up|down)(.*)$", re.MULTILINE)
"""As dbmate itself reads it (pkg/dbmate/migration.go)."""
_BEGUN = re.compile(r"^(?:Applying|Rolling back): (\S+)")
_DONE = re.compile(r"^(?:Applied|Rolled back): (\S+)")
_SQLSTATE = re.compile(r"\(([0-9A-Z]{5})\)")


class DbmateEngine(Engine):
    """Migrations of dbmate. It sends each as one statement, so that nothing smaller is measured.

    Args:
        description: of them.
    """

    def __init__(self, description: Dbmate) -> None:
        super().__init__(description.table)
        self._description = description

    def status(self, connection: psycopg.Connection) -> Status:
        """See ``Engine``. dbmate keeps no trace of one that failed."""
        migrations = {migration.id: migration for migration in self._migrations()}
        applied = self._applied(connection)
        pending = [migration for id, migration in migrations.items() if id not in applied]
        if applied and any(migration.id < applied[-1] for migration in pending):
            # Its rollback undoes the highest version, which would be another one.
            pending = [replace(migration, has_down=False) for migration in pending]
        return Status(
            current=applied[-1] if applied else None,
            pending=tuple(pending),
            unknown=tuple(id for id in applied if id not in migrations),
        )

    def current(self, connection: psycopg.Connection) -> str | None:
        """See ``Engine``."""
        return next(reversed(self._applied(connection)), None)

    def applied(self, connection: psycopg.Connection) -> tuple[Migration, ...]:
        """See ``Engine``. dbmate does not write down when; what it undoes is the highest version."""
        migrations = {migration.id: migration for migration in self._migrations("down")}
        return tuple(migrations.get(id) or Migration(id, id, "") for id in self._applied(connection))

    def _applied(self, connection: psycopg.Connection) -> list[str]:
        if not self.has_account(connection):
            return []
        query = sql.SQL("SELECT version FROM {} ORDER BY version").format(self.account)
        return [str(version) for (version,) in connection.execute(query)]

    def _migrations(self, way: str = "up") -> list[Migration]:
        paths = sorted(tool.directory(self._description.directory).glob("*.sql"))
        return [_migration(path, way) for path in paths if re.match(r"\d+", path.name)]

    def up(self, target: Target, pending: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        return self._run(target, "migrate", pending, say)

    def down(self, target: Target, migrations: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        return one_by_one(migrations, lambda migration: self._run(target, "rollback", (migration,), say))

    def _run(self, target: Target, verb: str, of: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        with TemporaryDirectory(prefix="dbmate-") as directory:
            # dbmate applies whatever is in its directory, so it is given one that holds what was rehearsed.
            for migration in of:
                file = Path(migration.file)
                (Path(directory) / file.name).symlink_to(file)
            return self._run_in(directory, target, verb, of, say)

    def _run_in(
        self, directory: str, target: Target, verb: str, of: tuple[Migration, ...], say: Callable[[str], None]
    ) -> Applied:
        description = self._description
        command = [
            description.command, "--url", _url(target), "--env-file", "/dev/null", "--no-dump-schema",
            "--migrations-dir", directory, "--migrations-table", description.table, verb,
        ]  # fmt: skip
        known = {Path(migration.file).name: migration for migration in of}
        applied = Applied()
        begun: list[tuple[Migration, float]] = []

        def heard(line: str, at: float) -> None:
            if (found := _BEGUN.match(line)) and found[1] in known:
                begun.append((known[found[1]], at))
                say(known[found[1]].name)
            elif (found := _DONE.match(line)) and begun and found[1] in known:
                migration, began = begun.pop()
                applied.statements.append(Statement(migration.id, migration.sql, began, at - began))
                applied.migrations.append(migration.id)

        ran = tool.run(command, target, heard, libpq=False, more=description.environment)
        if ran.code:
            said = re.sub(r"^Error: (pq: )?", "", ran.said)
            code = _SQLSTATE.search(said)
            where = begun[-1][0] if begun else None
            applied.error = MigrationFailed.of(
                where.id if where else (of[0].id if of else "?"),
                said,
                where.sql if where else "",
                code[1] if code else "",
            )
        return applied


def _migration(path: Path, way: str) -> Migration:
    """One file; ``way`` is the section, up or down, of which it is told whether it is a transaction."""
    text = tool.text(path)
    parts = {found[1]: found for found in _SECTION.finditer(text)}
    up, down = parts.get("up"), parts.get("down")
    if up is None:
        raise MigrationRefused(f"{path} has no line that says -- migrate:up", "Write it, as dbmate wants it")
    body = text[up.end() : down.start() if down and down.start() > up.end() else None]
    undo = text[down.end() :] if down else ""
    version = re.match(r"\d+", path.name)
    assert version
    return Migration(
        id=version[0],
        name=path.stem,
        file=str(path),
        sql=body.lstrip("\n"),
        line=text[: up.end()].count("\n") + 2,
        has_down=bool(re.sub(r"--.*", "", undo).strip()),
        transactional=way in parts and "transaction:false" not in parts[way][2],
        digest=tool.digest(path),
        way_back=undo,
    )


def _url(target: Target) -> str:
    """Without the password, which its driver finds in the file that ``PGPASSFILE`` names."""
    given = {"options": options(target), "sslmode": sslmode(target)}
    root = target.server.parameters().get("sslrootcert")
    if root and given["sslmode"].startswith("verify"):
        given["sslrootcert"] = root
    return url(target, **given)
