"""Who is at work, as locks and records say it."""

from __future__ import annotations

import getpass
import socket


def owner() -> str:
    """The user and the machine that pyinfra is typed on: ``user@host``."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
