"""This machine as a host."""

from __future__ import annotations

import subprocess

from ops.errors import HostUnreachable
from ops.platforms.shell import Ran


class Subshell:
    """``sh`` here."""

    host = "here"

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        try:
            done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise HostUnreachable("here: no answer") from None
        return Ran(done.returncode, done.stdout, done.stderr)
