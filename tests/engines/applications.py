"""Applications with migrations, one for each engine: written as their authors would, with the tool's own files."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

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


APPLICATIONS: dict[str, type[Application]] = {"alembic": OfAlembic, "dbmate": OfDbmate, "sql": OfSql}
