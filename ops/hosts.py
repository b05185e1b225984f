"""The shell of a host that pyinfra is connected to."""

from __future__ import annotations

import math
import re
import threading
import time
from typing import Any
from weakref import WeakKeyDictionary

from paramiko import ChannelException, SSHException
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.connectors.ssh import SSHConnector

from ops.errors import HostUnreachable
from ops.platforms.shell import Ran

_SESSIONS = 6
"""Scripts that run at once over one connection. Of sshd's ten (``MaxSessions``) those count that have just ended."""
_UNOPENED = "Unable to open channel."
"""What paramiko says to all but one of those who are refused at the same time."""
_turns: WeakKeyDictionary[Host, threading.Semaphore] = WeakKeyDictionary()
_END = re.compile(r"\n?ops-exit (\d+)\s*\Z")


class _Refused(HostUnreachable):
    """There are too many sessions on the connection; nothing was run."""


class HostShell:
    """Runs scripts through whatever connector pyinfra uses for a host, with the operation's own ``_sudo`` and the like.

    Args:
        on: the host.
    """

    def __init__(self, on: Host) -> None:
        self._on = on
        self.host = on.name
        # Where another host's operation asks, what the inventory says of this one holds.
        given: dict[str, Any] = dict(on.current_op_global_arguments or pop_global_arguments(on.state, on, {})[0])
        self._arguments = {key: value for key, value in given.items() if key in CONNECTOR_ARGUMENT_KEYS}

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        # pyinfra tells whether a command succeeded, not how it failed; and a connection that broke looks the same.
        command = StringCommand(f"( {script}\n); printf '\\nops-exit %s\\n' \"$?\"")
        try:
            _, printed = self._on.run_shell_command(command, **{**self._arguments, "_timeout": math.ceil(timeout)})
        except (TimeoutError, OSError, EOFError, SSHException) as error:
            if isinstance(error, ChannelException) or str(error) == _UNOPENED:
                hint = "Is MaxSessions of its sshd very low?"
                raise _Refused(f"{self.host} lets in no further session", hint) from None
            raise HostUnreachable(
                f"{self.host} did not answer within {timeout:g} s ({type(error).__name__})",
                "Look whether it can be reached, then run this again",
            ) from None
        out = "\n".join(printed.stdout_lines)
        end = _END.search(out)
        if end is None:
            said = next((line for line in reversed(printed.stderr_lines) if line.strip()), "it said nothing")
            raise HostUnreachable(
                f"the connection to {self.host} broke: {said}", "Look at the host, then run this again"
            )
        return Ran(int(end[1]), out[: end.start()], "\n".join(printed.stderr_lines))


class SharedShell(HostShell):
    """One of many that run scripts on a host at once: those that sshd would refuse wait for their turn.

    Nobody may hold one for long, as a lock does.
    """

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        if not isinstance(self._on.connector, SSHConnector):
            return super().run(script, timeout)
        until = time.monotonic() + timeout
        turn = _turns.setdefault(self._on, threading.Semaphore(_SESSIONS))
        if not turn.acquire(timeout=timeout):
            raise HostUnreachable(f"{self.host} was busy with other checks", "Give it more: timeout=…")
        try:
            while True:
                try:
                    return super().run(script, timeout)
                except _Refused:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.1)
        finally:
            turn.release()


class LostShell:
    """On a host that could not be connected to: whoever asks there is told so.

    Args:
        host: its name.
    """

    def __init__(self, host: str) -> None:
        self.host = host

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        raise HostUnreachable(f"{self.host} could not be reached", "Look at the host")
