"""The database's revision, to be written down beside a release that serves."""

from __future__ import annotations

import threading

from pyinfra import inventory

from ops import runner
from ops.errors import OpsError

BASE = "base"
"""Before the first migration."""
_turn = threading.Lock()
_known: list[str | None] = []


def current() -> str | None:
    """The migration that was applied last, ``base`` before the first; None when that cannot be known, which must not
    stop a release.

    Asked once in a run: what migrates in the same run does so before a release is activated.
    """
    migrations = runner.environment().migrations
    if migrations is None:
        return None
    with _turn:
        if not _known:
            try:
                on = inventory.get_group(migrations.hosts)[0]
                if on.connected:
                    _known.append(runner.ask("migrate", on=on, until="status")["current"] or BASE)
                else:
                    _known.append(None)
            except OpsError:
                _known.append(None)
        return _known[0]
