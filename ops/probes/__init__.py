"""How each check is asked: one file a kind, called as its kind is, with one function ``ask(check, at)``.

``at`` is what the kind's place offers: the worker's request on the runner, a shell on a host, or what is ``around``
here. It answers with results, or raises an ``OpsError``, which makes the check unknown. None of them changes anything.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from ops.checks import Check, Result


def load(check: Check) -> ModuleType:
    """Import what asks a check, before its time begins. Each has imports of its own, which others can do without."""
    kind: str = check.kind  # type: ignore[attr-defined]
    return importlib.import_module(f"ops.probes.{kind}")


def ask(check: Check, at: Any) -> list[Result]:
    """Ask one check.

    Args:
        check: which.
        at: ``ops.worker.request.Request``, ``ops.platforms.shell.Shell`` or ``ops.probes.around.Around``, by its place.

    Raises:
        OpsError: it could not be asked.
    """
    return list(load(check).ask(check, at))
