"""How a schema migrates. One file a variety; a new one is a file, a description, and a line in this table."""

from __future__ import annotations

import importlib

from ops.engines.base import Applied, Engine, Migration, Statement, Status, Target
from ops.migrations import Migrations

__all__ = ["Applied", "Engine", "Migration", "Statement", "Status", "Target", "open_engine"]

_ENGINES = {
    "alembic": "AlembicEngine",
    "command": "CommandEngine",
    "dbmate": "DbmateEngine",
    "prisma": "PrismaEngine",
    "sql": "SqlEngine",
}


def open_engine(migrations: Migrations) -> Engine:
    """The engine that a description means."""
    kind: str = migrations.kind  # type: ignore[attr-defined]
    variety = getattr(importlib.import_module(f"ops.engines.{kind}"), _ENGINES[kind])
    return variety(migrations)  # type: ignore[no-any-return]
