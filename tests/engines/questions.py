"""What tests ask of the shop itself."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg
from asked import Asked


def execute(worker: Asked, *statements: str) -> Any:
    """Statements, each a transaction of its own; the rows of the last."""
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


def rehearsals(worker: Asked) -> list[str]:
    """Copies that were left."""
    return [name for (name,) in execute(worker, "SELECT datname FROM pg_database WHERE datname LIKE 'ops_rehearsal_%'")]


def columns(worker: Asked) -> set[str]:
    """Of the table orders."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attnum > 0 AND NOT attisdropped"
    return {name for (name,) in execute(worker, query)}
