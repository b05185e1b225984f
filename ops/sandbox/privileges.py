"""PostgreSQL refuses to run as root, and no server should: started by root, they run as ``nobody``."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ops.errors import ToolError

USER = "nobody"

# Numbers of capabilities, as in capabilities(7).
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


def drop(command: list[str], reach: Iterable[Path]) -> tuple[list[str], dict[str, Any]]:
    """How to start a program without root's rights.

    A clone or a virtual environment may lie where ``nobody`` cannot go, below ``/root`` for example. Then, and
    only then, the program keeps the one capability to pass through directories whatever their mode.

    Args:
        command: program, as an absolute path, and arguments.
        reach: files and directories that the program must get to, beside itself.

    Returns:
        The command line and the further arguments for ``subprocess``; unchanged and none when not root.

    Raises:
        ToolError: a directory is closed to ``nobody`` and ``setpriv`` is missing.
    """
    if os.geteuid() != 0:
        return command, {}
    user, group = _account()
    account = {"user": user, "group": group, "extra_groups": []}
    places = [Path(command[0]), *reach]
    closed = next((place for place in places if not _reachable(place, account)), None)
    if closed is None:
        return command, account
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ToolError(
            f"{closed} cannot be reached by the user {USER}, as whom the server must run, and setpriv is missing",
            "Install util-linux, or work as an ordinary user",
        )
    capability = _capability_to_pass()
    return [
        setpriv,
        f"--reuid={user}",
        f"--regid={group}",
        "--clear-groups",
        f"--inh-caps=-all,+{capability}",
        f"--ambient-caps=-all,+{capability}",
        # Without this bit access(2), which PostgreSQL asks about its programs, looks past capabilities.
        "--securebits=+no_setuid_fixup",
        "--",
        *command,
    ], {}


def own(path: Path) -> None:
    """Give a file or directory to the user as whom servers run."""
    if os.geteuid() == 0:
        os.chown(path, *_account())


def _account() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        raise ToolError(f"there is no user {USER}, as whom the server could run", "Work as an ordinary user") from None
    return entry.pw_uid, entry.pw_gid


def _reachable(path: Path, account: dict[str, Any]) -> bool:
    """Asked of the kernel as that user, since modes alone do not tell (access lists, mount options)."""
    probe = subprocess.run(["/bin/sh", "-c", 'test -x "$0"', str(path)], cwd="/", check=False, **account)
    return probe.returncode == 0


def _capability_to_pass() -> str:
    """The narrowest that this process has: containers often have no ``dac_read_search``."""
    status = Path("/proc/self/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    if not effective & 1 << _DAC_READ_SEARCH and effective & 1 << _DAC_OVERRIDE:
        return "dac_override"
    return "dac_read_search"
