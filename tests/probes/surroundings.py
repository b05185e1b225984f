"""What a check that is asked from here can reach, in tests: shells on this machine, by the names of their groups."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

from ops import Directory, Environment, Postgres
from ops.errors import ConfigurationError, HostUnreachable
from ops.platforms.shell import Ran, Shell
from ops.probes.around import Around


class Here:
    """``sh`` on this machine, which may pass for several.

    Args:
        host: its name.
    """

    def __init__(self, host: str = "here") -> None:
        self.host = host

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        try:
            # As pyinfra does: a shell tells of a signal by an exit code.
            done = subprocess.run(
                ["sh", "-c", f"( {script}\n); exit $?"], capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise HostUnreachable(f"{self.host} did not answer within {timeout:g} s") from None
        return Ran(done.returncode, done.stdout, done.stderr)


class Lost(Here):
    """On a host that is there no more."""

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        raise HostUnreachable(f"the connection to {self.host} broke", "Look at the host")


class Hanging(Here):
    """On a host that takes whatever it is told, and never answers."""

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        threading.Event().wait(timeout)
        raise HostUnreachable(f"{self.host} did not answer within {timeout:g} s")


def around(environment: Environment, **groups: list[Shell]) -> Around:
    """An environment with groups of hosts.

    Args:
        environment: its description.
        groups: shells on the hosts of each.
    """

    def shells(group: str) -> list[Shell]:
        if group not in groups:
            raise ConfigurationError(f"the inventory has no group {group}", "Write it")
        return groups[group]

    def worker(group: str, verb: str, **arguments: Any) -> dict[str, Any]:
        raise AssertionError(f"the worker is not asked for {verb} here")

    return Around(environment, shells, worker)


def described(**parts: Any) -> Environment:
    """An environment whose database and store are nowhere."""
    nowhere = Postgres(host="127.0.0.1", database="nowhere")
    return Environment(name="test", database=nowhere, store=Directory(path="/nowhere/backups"), **parts)
