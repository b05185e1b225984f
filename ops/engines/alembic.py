"""Alembic, in the application's own virtual environment."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from ops.database import Postgres
from ops.engines import alembic_program, tool
from ops.engines.base import Applied, Engine, Migration, Statement, Status, Target, not_applied
from ops.errors import EngineMissing, MigrationFailed, ToolError
from ops.migrations import Alembic

_PROGRAM = alembic_program.__file__


class AlembicEngine(Engine):
    """The application's own Alembic, driven revision by revision.

    Args:
        description: of it.
    """

    def __init__(self, description: Alembic) -> None:
        super().__init__(description.table)
        self._description = description
        self._directory = Path(description.directory)
        name = re.escape(self.table.rpartition(".")[2])
        # What Alembic itself asks and writes.
        self._own = re.compile(rf"^\s*(INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|SELECT\s.*\sFROM)\s+\S*{name}\b|"
                               r"^\s*SELECT pg_catalog\.", re.DOTALL)  # fmt: skip

    def status(self, connection: psycopg.Connection) -> Status:
        """See ``Engine``. What is applied is read by us; the application's program only reads its own files."""
        current = self._current(connection)
        pending: list[Migration] = []
        unknown: tuple[str, ...] = ()
        for event in self._read({"verb": "status", "current": current}):
            if "unknown" in event:
                unknown = tuple(event["unknown"])
            if "pending" in event:
                pending.append(_migration(event["pending"], event))
        return Status(", ".join(sorted(current)) or None, tuple(pending), (), unknown)

    def current(self, connection: psycopg.Connection) -> str | None:
        """See ``Engine``."""
        return ", ".join(sorted(self._current(connection))) or None

    def applied(self, connection: psycopg.Connection) -> tuple[Migration, ...]:
        """See ``Engine``. Alembic writes down only the last; what that rests on is known by the code alone."""
        return self.since(connection, None)

    def since(self, connection: psycopg.Connection, to: str | None) -> tuple[Migration, ...]:
        """See ``Engine``. Where branches meet it is what ``to`` does not rest on; ``to`` may be several."""
        asked = {"verb": "since", "current": self._current(connection), "to": to.split(", ") if to else []}
        found = []
        for event in self._read(asked):
            if event.get("lacks"):
                raise not_applied(", ".join(event["lacks"]), event["has"])
            if "applied" in event:
                found.append(_migration(event["applied"], event))
        return tuple(found)

    def _current(self, connection: psycopg.Connection) -> list[str]:
        if not self.has_account(connection):
            return []
        query = sql.SQL("SELECT version_num FROM {}").format(self.account)
        return [str(revision) for (revision,) in connection.execute(query)]

    def _read(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """What our program tells of the application's own files."""
        events = self._ask(Target(Postgres(host="127.0.0.1", port=1, database="nowhere"), "nowhere"), request)
        for event in events:
            if "error" in event:
                raise ToolError(f"Alembic cannot read its migrations: {event['error']}", "Try: alembic history")
        return events

    def up(self, target: Target, pending: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        return self._apply(target, "up", [(one, one.id) for one in pending], say)

    def down(self, target: Target, migrations: tuple[Migration, ...], say: Callable[[str], None]) -> Applied:
        """See ``Engine``."""
        return self._apply(target, "down", [(one, "-1") for one in reversed(migrations)], say)

    def _apply(
        self, target: Target, verb: str, steps: list[tuple[Migration, str]], say: Callable[[str], None]
    ) -> Applied:
        applied = Applied()
        names = {migration.id: migration.name for migration, _ in steps}
        at = steps[0][0].id if steps else ""

        def heard(event: dict[str, Any]) -> None:
            nonlocal at
            if "begin" in event:
                at = event["begin"]
                say(names[at])
            elif "end" in event:
                applied.migrations.append(at)
            elif "error" in event:
                applied.error = MigrationFailed.of(at, event["error"], event["statement"], event["sqlstate"])
            elif "statement" in event and not self._own.search(event["statement"]):
                applied.statements.append(
                    Statement(at, event["statement"].strip(), event["began"], event["seconds"], event["rows"])
                )

        try:
            self._ask(target, {"verb": verb, "steps": [(one.id, goal) for one, goal in steps]}, heard)
        except ToolError as error:
            applied.error = applied.error or MigrationFailed.of(at, error.problem)
        if applied.error is None and len(applied.migrations) < len(steps):
            applied.error = MigrationFailed.of(at, "Alembic ended without a word")
        return applied

    def _ask(
        self, target: Target, request: dict[str, Any], heard: Callable[[dict[str, Any]], None] | None = None
    ) -> list[dict[str, Any]]:
        """Run our program there; all its events."""
        directory = tool.directory(str(self._directory))
        python = directory / self._description.python
        configuration = directory / self._description.configuration
        for path, field in ((python, "python="), (configuration, "configuration=")):
            if not path.exists():
                raise EngineMissing(f"there is no {path}", f"Look at {field} in the inventory")
        parameters = target.server.parameters()
        request = {
            **request,
            "configuration": str(configuration),
            "settings": target.settings(),
            "sslmode": parameters.get("sslmode", "prefer"),
            "server": {
                "host": parameters["host"],
                "port": int(parameters.get("port", "5432")),
                "user": parameters.get("user"),
                "database": target.database,
            },
        }
        events: list[dict[str, Any]] = []
        near, far = os.pipe()

        def listen() -> None:
            with os.fdopen(near) as pipe:
                for line in pipe:
                    events.append(json.loads(line))
                    if heard:
                        heard(events[-1])

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            command = [str(python), str(_PROGRAM), str(far)]
            ran = tool.run(
                command,
                target,
                lambda line, at: None,
                directory,
                json.dumps(request) + "\n",
                (far,),
                more=self._description.environment,
            )
        finally:
            with suppress(OSError):
                os.close(far)
            listener.join(timeout=10)
        missing = next((event["missing"] for event in events if "missing" in event), None)
        if missing:
            raise EngineMissing(f"{python} has no Alembic: {missing}", "Look at python= in the inventory")
        if ran.code:
            raise ToolError(f"Alembic ended with exit code {ran.code}: {ran.said}", f"Look at {configuration}")
        return events


def _migration(id: str, told: dict[str, Any]) -> Migration:
    """As our program tells of it; a revision that the code does not have is told by its id alone."""
    if "file" not in told:
        return Migration(id, id, "")
    file = Path(told["file"])
    return Migration(
        id=id,
        name=f"{id} {told['name']}".strip(),
        file=str(file),
        sql=told["sql"],
        has_down=bool(told["down"]),
        transactional=bool(told["transactional"]),
        digest=tool.digest(file),
        way_back=told["way_back"],
    )
