"""A shell for checks: a script whose time is over ends on the host as well."""

from __future__ import annotations

import math
import time
from shlex import quote

from ops.errors import HostUnreachable
from ops.platforms.shell import Ran, Shell

_OVER = (124, 137)
"""What becomes of ``timeout`` when it had to end what it ran: BusyBox's says so, others hit themselves as well."""
_SLACK = 5
"""Seconds beyond its time for which the host is waited for."""

# Else every round of a watch would leave one more process that hangs. Who only reads may be killed.
_SCRIPT = """
if timeout -s KILL 1 true 2>/dev/null; then timeout -s KILL {seconds} sh -c {script} </dev/null; exit; fi
exec sh -c {script} </dev/null
"""


class Bounded:
    """Runs the scripts of one check.

    Args:
        shell: on the host.
        seconds: after which a script is ended.
    """

    def __init__(self, shell: Shell, seconds: float) -> None:
        self._shell = shell
        self._seconds = math.ceil(seconds)
        self.host = shell.host

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``; the time of the check holds where it is shorter."""
        seconds = min(self._seconds, math.ceil(timeout))
        began = time.monotonic()
        ran = self._shell.run(_SCRIPT.format(seconds=seconds, script=quote(script)), seconds + _SLACK)
        if ran.code in _OVER and time.monotonic() - began >= seconds:
            raise HostUnreachable(f"no answer within {seconds} s", "Look why, or give it more: timeout=…")
        return ran
