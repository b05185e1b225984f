"""Applications with migrations, one for each engine: written as their authors would, with the tool's own files."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from ops.worker import tools

ENV = """
from alembic import context
from pathlib import Path
from sqlalchemy import create_engine

# The application's own settings name the real database, as they do everywhere.
url = Path(__file__).with_name("settings.txt").read_text().strip()

if context.is_offline_mode():
    context.configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url).connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
"""
REVISION = '''"""{name}"""
from alembic import op

revision = "{id}"
down_revision = {before!r}


def upgrade():
{up}


def downgrade():
{down}
'''


class Application(ABC):
    """One with no migrations yet.

    Args:
        place: an empty directory.
        url: of its real database.
    """

    def __init__(self, place: Path, url: str) -> None:
        self.place = place
        self.url = url
        self.ids: list[str] = []

    @property
    @abstractmethod
    def description(self) -> dict[str, Any]:
        """As the request carries it."""

    @abstractmethod
    def write(self, name: str, *up: str, down: tuple[str, ...] = (), outside: bool = False) -> str:
        """Add a migration of these statements; its id. ``outside``: of any transaction."""

    @abstractmethod
    def forget(self) -> None:
        """Take the last one out of the code."""


class OfAlembic(Application):
    def __init__(self, place: Path, url: str) -> None:
        super().__init__(place, url)
        (place / "alembic.ini").write_text(f"[alembic]\nscript_location = {place}/migrations\n")
        (place / "migrations" / "versions").mkdir(parents=True)
        (place / "migrations" / "env.py").write_text(ENV)
        (place / "migrations" / "settings.txt").write_text(url.replace("postgresql://", "postgresql+psycopg://"))

    @property
    def description(self) -> dict[str, Any]:
        return {"kind": "alembic", "directory": str(self.place), "python": sys.executable}

    def write(self, name: str, *up: str, down: tuple[str, ...] = (), outside: bool = False) -> str:
        def body(statements: tuple[str, ...]) -> str:
            lines = [f"op.execute({statement!r})" for statement in statements]
            if outside:
                lines = ["with op.get_context().autocommit_block():", *(f"    {line}" for line in lines)]
            return "\n".join(f"    {line}" for line in lines or ["pass"])

        id = f"{len(self.ids) + 1:04}_{name}"
        before = self.ids[-1] if self.ids else None
        text = REVISION.format(name=name, id=id, before=before, up=body(up), down=body(down) if down else "    pass")
        (self.place / "migrations" / "versions" / f"{id}.py").write_text(text)
        self.ids.append(id)
        return id

    def forget(self) -> None:
        (self.place / "migrations" / "versions" / f"{self.ids.pop()}.py").unlink()


class OfDbmate(Application):
    @property
    def description(self) -> dict[str, Any]:
        command = str(Path(sys.executable).with_name("dbmate"))
        return {"kind": "dbmate", "directory": str(self.place), "command": command}

    def write(self, name: str, *up: str, down: tuple[str, ...] = (), outside: bool = False) -> str:
        id = f"2026010100{len(self.ids):04}"
        option = " transaction:false" if outside else ""
        lines = [
            f"-- migrate:up{option}",
            *(f"{one};" for one in up),
            "",
            "-- migrate:down",
            *(f"{one};" for one in down),
        ]
        (self.place / f"{id}_{name}.sql").write_text("\n".join(lines) + "\n")
        self.ids.append(id)
        return id

    def forget(self) -> None:
        next(self.place.glob(f"{self.ids.pop()}_*.sql")).unlink()


class OfSql(Application):
    @property
    def description(self) -> dict[str, Any]:
        return {"kind": "sql", "directory": str(self.place)}

    def write(self, name: str, *up: str, down: tuple[str, ...] = (), outside: bool = False) -> str:
        id = f"{len(self.ids) + 1:04}_{name}"
        option = ["-- transaction: none"] if outside else []
        (self.place / f"{id}.sql").write_text("\n".join([*option, *(f"{one};" for one in up)]) + "\n")
        if down:
            (self.place / f"{id}.down.sql").write_text("\n".join(f"{one};" for one in down) + "\n")
        self.ids.append(id)
        return id

    def forget(self) -> None:
        id = self.ids.pop()
        (self.place / f"{id}.sql").unlink()
        (self.place / f"{id}.down.sql").unlink(missing_ok=True)


UP = """
psql -qXv ON_ERROR_STOP=1 -c 'CREATE TABLE IF NOT EXISTS done (id text PRIMARY KEY)'
for file in steps/*.sql; do
  id=$(basename "$file" .sql)
  [ -z "$(psql -qXAtc "SELECT 1 FROM done WHERE id = '$id'")" ] || continue
  psql -qXv ON_ERROR_STOP=1 $(grep -q '^-- outside' "$file" || echo -1) -f "$file" || exit
  psql -qXv ON_ERROR_STOP=1 -c "INSERT INTO done VALUES ('$id')" || exit
done
"""
DOWN = """
id=$(psql -qXAtc 'SELECT max(id) FROM done')
psql -qX1v ON_ERROR_STOP=1 -f "back/$id.sql" -c "DELETE FROM done WHERE id = '$id'"
"""


class OfCommand(Application):
    """Some tool that its author wrote one day."""

    @property
    def description(self) -> dict[str, Any]:
        psql = str(tools.psql(None).path.parent)
        return {
            "kind": "command",
            "directory": str(self.place),
            "files": "steps/*.sql",
            "table": "done",
            "applied": "SELECT id FROM done ORDER BY id",
            "up": f"PATH={psql}:$PATH; {UP}",
            "down": f"PATH={psql}:$PATH; {DOWN}",
        }

    def write(self, name: str, *up: str, down: tuple[str, ...] = (), outside: bool = False) -> str:
        id = f"{len(self.ids) + 1:04}_{name}"
        for directory, statements in (("steps", up), ("back", down)):
            (self.place / directory).mkdir(exist_ok=True)
            option = "-- outside\n" if outside else ""
            (self.place / directory / f"{id}.sql").write_text(
                option + "\n".join(f"{one};" for one in statements) + "\n"
            )
        self.ids.append(id)
        return id

    def forget(self) -> None:
        (self.place / "steps" / f"{self.ids.pop()}.sql").unlink()


@functools.cache
def prisma() -> Path | None:
    """Where Prisma is installed, once on this machine; None where npm is missing or cannot."""
    if not shutil.which("npm"):
        return None
    place = Path(tempfile.gettempdir()) / f"ops-tests-prisma-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            packages = ["prisma@7", "@prisma/schema-engine-wasm", "@prisma/adapter-pg@7", "pg"]
            words = ["npm", "install", "--prefix", place, "--no-audit", "--no-fund", *packages]
            if subprocess.run(words, capture_output=True, timeout=280).returncode:
                return None
            (place / "done").touch()
    return place / "node_modules"


class OfPrisma(Application):
    """Its real database is baselined, as one that was there before Prisma is."""

    def __init__(self, place: Path, url: str) -> None:
        super().__init__(place, url)
        modules = prisma()
        if modules is None:
            pytest.skip("needs npm, and the packages of Prisma: apt install npm")
        (place / "node_modules").symlink_to(modules)
        self.engine = place / "engine.mjs"
        shutil.copy(Path(__file__).with_name("prisma_schema_engine.mjs"), self.engine)
        self.engine.chmod(0o755)
        (place / "prisma" / "migrations").mkdir(parents=True)
        (place / "prisma" / "schema.prisma").write_text('datasource db {\n  provider = "postgresql"\n}\n')
        (place / "prisma" / "migrations" / "migration_lock.toml").write_text('provider = "postgresql"\n')
        # The application's own settings, which name the real database.
        own = {
            "schema": "prisma/schema.prisma",
            "migrations": {"path": "prisma/migrations"},
            "datasource": {"url": url},
        }
        (place / "prisma.config.mjs").write_text(f"export default {json.dumps(own)};\n")
        base = self.write("base", "SELECT 1")
        self.type("migrate", "resolve", "--applied", base)

    @property
    def environment(self) -> dict[str, str]:
        return {"PRISMA_SCHEMA_ENGINE_BINARY": str(self.engine), "PRISMA_MODULES": str(prisma())}

    def type(self, *words: str) -> None:
        """Prisma, as the application's author types it."""
        environment = {**os.environ, **self.environment, "CHECKPOINT_DISABLE": "1"}
        command = [str(self.place / "node_modules/.bin/prisma"), *words]
        subprocess.run(command, cwd=self.place, env=environment, check=True, capture_output=True)

    @property
    def description(self) -> dict[str, Any]:
        return {"kind": "prisma", "directory": str(self.place), "environment": self.environment}

    def write(self, name: str, *up: str, down: tuple[str, ...] = (), outside: bool = False) -> str:
        id = f"{len(self.ids):04}_{name}"
        (self.place / "prisma" / "migrations" / id).mkdir()
        text = "\n".join(f"{one};" for one in up) + "\n"
        (self.place / "prisma" / "migrations" / id / "migration.sql").write_text(text)
        self.ids.append(id)
        return id

    def forget(self) -> None:
        shutil.rmtree(self.place / "prisma" / "migrations" / self.ids.pop())


APPLICATIONS: dict[str, type[Application]] = {
    "alembic": OfAlembic,
    "command": OfCommand,
    "dbmate": OfDbmate,
    "prisma": OfPrisma,
    "sql": OfSql,
}
