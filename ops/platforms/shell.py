"""A shell on the host where a service runs, so that a platform need not know how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ops.errors import ServiceError


@dataclass(frozen=True)
class Ran:
    """What came of a script.

    Args:
        code: its exit code.
        out: standard output.
        err: standard error.
    """

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """The last line that says something, of standard error if there is one."""
        lines = [line.strip() for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


class Shell(Protocol):
    """Runs scripts of ``sh`` on one host."""

    host: str

    def run(self, script: str, timeout: float = 60) -> Ran:
        """Run a script to its end, whatever its exit code.

        Args:
            script: for a POSIX shell; everything in it that is not ours is quoted with ``shlex.quote``.
            timeout: seconds.

        Raises:
            HostUnreachable: the host did not answer in time, or the connection broke.
        """


def to_the_end(script: str) -> str:
    """A script that is finished once it has begun, although somebody types Ctrl-C or the connection breaks.

    What it prints is kept until it has ended: who writes to a connection that is gone is ended by that.

    Args:
        script: one that leaves something half done when it is cut off.
    """
    return (
        "trap '' INT HUP TERM\nops_kept=$(mktemp -d) || exit\n"
        f'( {script}\n) >"$ops_kept/out" 2>"$ops_kept/err"\nops_code=$?\n'
        'cat "$ops_kept/out"; cat "$ops_kept/err" >&2; rm -rf "$ops_kept"; exit $ops_code'
    )


def must(shell: Shell, script: str, what: str, hint: str = "", timeout: float = 60) -> str:
    """Run a script that has to succeed; what it printed.

    Args:
        shell: where.
        script: what.
        what: in words, for the failure: ``"api could not be stopped"``.
        hint: what to do then.
        timeout: seconds.

    Raises:
        ServiceError: its exit code was not 0.
        HostUnreachable: the host did not answer.
    """
    ran = shell.run(script, timeout)
    if ran.code:
        raise ServiceError(f"{shell.host}: {what}: {ran.said}", hint)
    return ran.out
