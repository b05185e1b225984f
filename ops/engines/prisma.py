"""Prisma Migrate, by its command line; what came of it is read in its own table, for its exit code may say nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from ops.engines import tool
from ops.engines.base import Applied, Engine, Migration, Statement, Status, Target
from ops.engines.url import options, sslmode, url
from ops.errors import EngineMissing, MigrationFailed
from ops.migrations import Prisma
from ops.worker.connection import connect

_TABLE = "_prisma_migrations"
_RECORDED = """
    SELECT DISTINCT ON (migration_name) migration_name, checksum, finished_at IS NOT NULL, rolled_back_at IS NOT NULL,
           coalesce(logs, ''), extract(epoch FROM clock_timestamp() - started_at)::float,
           extract(epoch FROM finished_at - started_at)::float
      FROM _prisma_migrations ORDER BY migration_name, started_at DESC
"""
# Prisma hands the URL on to its engine; that it is composed in here keeps it out of our own files.
_CONFIGURATION = """
import fs from "node:fs";
const line = fs.readFileSync(process.env.PGPASSFILE, "utf8").split("\\n")[0];
const password = line.split(/(?<!\\\\):/).slice(4).join(":").replaceAll("\\\\:", ":").replaceAll("\\\\\\\\", "\\\\");
const given = %s;
export default {
  schema: given.schema,
  migrations: { path: given.migrations },
  datasource: { url: given.url.replace("PASSWORD", encodeURIComponent(password)) },
};
"""


class PrismaEngine(Engine):
    """The application's own Prisma. It sends a migration as one, outside of any transaction.

    Args:
        description: of it.
    """

    def __init__(self, description: Prisma) -> None:
        super().__init__(_TABLE)
        self._description = description
        self._directory = Path(description.directory)

    def status(self, connection: psycopg.Connection) -> Status:
        """See ``Engine``. All of it is read by us."""
        files = self._files()
        recorded = self._recorded(connection)
        finished = [name for name, (_, done, undone, *_) in recorded.items() if done and not undone]
        failed = [name for name, (_, done, undone, *_) in recorded.items() if not done and not undone]
        return Status(
            current=finished[-1] if finished else None,
            pending=tuple(_migration(files[name]) for name in files if name not in finished and name not in failed),
            failed=tuple(failed),
            unknown=tuple(name for name in finished if name not in files),
            changed=tuple(name for name in finished if name in files and recorded[name][0] != tool.digest(files[name])),
        )

    def current(self, connection: psycopg.Connection) -> str | None:
        """See ``Engine``."""
        recorded = self._recorded(connection).items()
        return next((name for name, (_, done, undone, *_) in reversed(recorded) if done and not undone), None)

    def applied(self, connection: psycopg.Connection) -> tuple[Migration, ...]:
        """See ``Engine``. None has a way back."""
        files = self._files()
        recorded = self._recorded(connection)
        finished = [name for name, (_, done, undone, *_) in recorded.items() if done and not undone]
        finished.sort(key=lambda name: -recorded[name][4])  # how long ago it was begun
        return tuple(_migration(files[name]) if name in files else Migration(name, name, "") for name in finished)

    def _files(self) -> dict[str, Path]:
        directory = tool.directory(str(tool.directory(str(self._directory)) / self._description.migrations))
        return {path.parent.name: path for path in sorted(directory.glob("*/migration.sql"))}

    def _recorded(self, connection: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
        if not self.has_account(connection):
            return {}
        return {name: tuple(rest) for name, *rest in connection.execute(_RECORDED)}

    def undone(self, id: str) -> str:
        """See ``Engine``."""
        return f"prisma migrate resolve --rolled-back {id}"

    def up(self, target: Target, pending: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        for migration in pending:
            say(migration.name)
        ran = self._run(target, "migrate", "deploy")
        applied = Applied()
        with closing(connect(target.server, target.database)) as connection:
            now = time.monotonic()
            recorded = self._recorded(connection)
        for migration in pending:
            _, done, _, logs, ago, seconds = recorded.get(migration.id, ("", False, False, "", 0.0, None))
            if migration.id in recorded:
                applied.statements.append(Statement(migration.id, migration.sql, now - ago, seconds or 0.0))
            if not done:
                said, code = _said(logs or "\n".join([*ran.errors, *ran.out]))
                applied.error = MigrationFailed.of(migration.id, said, migration.sql, code)
                break
            applied.migrations.append(migration.id)
        return applied

    def down(self, target: Target, migrations: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        return Applied(error=MigrationFailed.of(migrations[-1].id, "Prisma knows no way back"))

    def _run(self, target: Target, *words: str) -> tool.Ran:
        description = self._description
        command = self._directory / description.command
        if not command.exists():
            raise EngineMissing(f"there is no {command}", "Look at command= in the inventory, or type npm install")
        given = {
            "schema": str(self._directory / description.schema_file),
            "migrations": str(self._directory / description.migrations),
            "url": _url(target),
        }
        more = {"CHECKPOINT_DISABLE": "1", "PRISMA_HIDE_UPDATE_MESSAGE": "1", **description.environment}
        with TemporaryDirectory(prefix="prisma-") as place:
            configuration = Path(place) / "prisma.config.mjs"
            configuration.write_text(_CONFIGURATION % json.dumps(given))
            printed: list[str] = []
            ran = tool.run(
                [str(command), *words, "--config", str(configuration)], target,
                lambda line, at: printed.append(line), self._directory, more={**more, "HOME": place}, libpq=False,
            )  # fmt: skip
            ran.out = printed
            return ran


def _migration(path: Path) -> Migration:
    # What failed half way stays half done, and Prisma goes no further until it is told how that was resolved.
    return Migration(
        path.parent.name, path.parent.name, str(path), tool.text(path), transactional=False, digest=tool.digest(path)
    )


def _said(text: str) -> tuple[str, str]:
    """PostgreSQL's own words among Prisma's, and its code where that is told."""
    code = re.search(r"Database error code: ([0-9A-Z]{5})", text)
    found = re.search(r"ERROR: +(.+)", text)
    if found:
        return found[1].strip(), code[1] if code else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    begin = next((number for number, line in enumerate(lines) if line.startswith("Error")), 0)
    return " ".join(lines[begin : begin + 3]).removeprefix("Error: ") or "Prisma said nothing", ""


def _url(target: Target) -> str:
    """As Prisma reads it; PASSWORD stands for the password."""
    mode, root = sslmode(target), target.server.parameters().get("sslrootcert", "system")
    given = {"options": options(target), "sslmode": "require" if mode.startswith("verify") else mode}
    if mode.startswith("verify"):
        given["sslaccept"] = "strict"
        if root != "system":
            given["sslcert"] = root
    return url(target, "PASSWORD", **given)
