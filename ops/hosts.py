"""The shell of a host that pyinfra is connected to."""

from __future__ import annotations

import re
from typing import Any

from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host

from ops.errors import HostUnreachable
from ops.platforms.shell import Ran

_END = re.compile(r"\n?ops-exit (\d+)\s*\Z")


class HostShell:
    """Runs scripts through whatever connector pyinfra uses for a host, with the operation's own ``_sudo`` and the like.

    Args:
        on: the host.
    """

    def __init__(self, on: Host) -> None:
        self._on = on
        self.host = on.name
        given: dict[str, Any] = dict(on.current_op_global_arguments or {})
        self._arguments = {key: value for key, value in given.items() if key in CONNECTOR_ARGUMENT_KEYS}

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        # pyinfra tells whether a command succeeded, not how it failed; and a connection that broke looks the same.
        command = StringCommand(f"( {script}\n); printf '\\nops-exit %s\\n' \"$?\"")
        try:
            _, printed = self._on.run_shell_command(command, **{**self._arguments, "_timeout": int(timeout)})
        except (TimeoutError, OSError, EOFError) as error:
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
