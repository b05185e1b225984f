"""SQL that is applied once, past the application's engine, and recorded in a ledger of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from ops.engines.base import Status
from ops.engines.sql import SqlEngine
from ops.migrations import Sql


class HotfixEngine(SqlEngine):
    """A directory that holds the hotfix alone; the ledger has those before it as well."""

    def status(self, connection: psycopg.Connection) -> Status:
        """See ``Engine``."""
        return replace(super().status(connection), unknown=())


@contextmanager
def hotfix(name: str, text: str) -> Iterator[HotfixEngine]:
    """The engine for one hotfix, as long as the block runs.

    Args:
        name: by which it is recorded.
        text: SQL.
    """
    with TemporaryDirectory(prefix="hotfix-") as directory:
        (Path(directory) / f"{name}.sql").write_text(text)
        yield HotfixEngine(Sql(directory=directory, table="ops_hotfixes"))
