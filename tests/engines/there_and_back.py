"""A migration with its way back, and how both are asked for."""

from __future__ import annotations

from typing import Any

from applications import Application
from asked import Answer, Asked

ADD, DROP = "ALTER TABLE orders ADD COLUMN noted text", "ALTER TABLE orders DROP COLUMN noted"


def migrate(worker: Asked, application: Application, **more: Any) -> Answer:
    """Apply all that is pending."""
    answer = worker.ask("migrate", migrations={**application.description, **more}, until="proof")
    assert answer.code == 0, answer.answer
    return answer


def revert(worker: Asked, application: Application, to: str | None, until: str = "proof", **more: Any) -> Answer:
    """Ask for the way back to a migration."""
    return worker.ask("revert", migrations={**application.description, **more}, to=to, until=until)
