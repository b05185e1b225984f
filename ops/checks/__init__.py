"""The typed description of checks: what must be true of an environment. How each is asked is in ``ops.probes``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ops.checks.backups import Backups, ObjectStore
from ops.checks.base import Check, Place
from ops.checks.database import Column, Database, MigrationsCurrent, Rows, Schema, Table
from ops.checks.hosts import Host, Settings, Tool
from ops.checks.http import Http, HttpFlow, HttpStep
from ops.checks.logs import Log, ServiceLog
from ops.checks.metrics import Metric, Upstream
from ops.checks.own import Function, Program
from ops.checks.result import Outcome, Result
from ops.checks.services import Backlog, ServicesRunning
from ops.checks.watching import Trigger, Watch

__all__ = [
    "AnyCheck",
    "Backlog",
    "Backups",
    "Check",
    "Column",
    "Database",
    "Function",
    "Host",
    "Http",
    "HttpFlow",
    "HttpStep",
    "Log",
    "Metric",
    "MigrationsCurrent",
    "ObjectStore",
    "Outcome",
    "Place",
    "Program",
    "Result",
    "Rows",
    "Schema",
    "ServiceLog",
    "ServicesRunning",
    "Settings",
    "Table",
    "Tool",
    "Trigger",
    "Upstream",
    "Watch",
]


def _described(value: object) -> object:
    """A plain function is a check as it stands."""
    return Function(call=value) if callable(value) else value


AnyCheck = Annotated[
    Annotated[
        Http | HttpFlow | Metric | Upstream
        | Database | Schema | Rows | MigrationsCurrent | Backups | ObjectStore
        | Log | ServiceLog | Host | Tool | Settings | ServicesRunning | Backlog
        | Function | Program,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_described),
]  # fmt: skip
