"""One at a time on a service: a lock on each of its hosts, which lasts as long as the connection of who took it.

It keeps out those who connect as the same user, which is who may do the same things.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from shlex import quote

from ops.errors import HostUnreachable, LockHeld, OpsError
from ops.owner import owner
from ops.platforms.shell import Ran, Shell, must

_LONGEST = 24 * 3600
"""Seconds for which a lock is held at most."""
_HELD = 75

# Where nobody else can put links; a home may be on several hosts.
_DIRECTORY = """
locks="$HOME/.local/state/pyinfra-ops/$(uname -n)"
umask 077; mkdir -p "$locks" && cd "$locks" || exit 1
"""
# When nobody listens any more, writing a line ends it, and with it the lock.
_HOLD = """
exec 9>>{name} && flock -n 9 || exit {held}
echo {owner} > {name}.owner; echo {token} > {name}.token
while [ "$(cat {name}.token 2>/dev/null)" = {token} ]; do echo; sleep 0.5; done
"""


@contextmanager
def held(shell: Shell, name: str) -> Iterator[None]:
    """Be the only one at work on something on a host.

    Args:
        shell: on the host.
        name: of what, in letters that a file's name may have.

    Raises:
        LockHeld: somebody else is at work on it.
        HostUnreachable: the host did not answer.
    """
    now = datetime.now(UTC)
    who = f"{owner()} since {now:%Y-%m-%d %H:%M:%S} UTC"
    token = f"{now:%H%M%S.%f}-{id(shell)}"
    file = quote(name)
    hold = _HOLD.format(name=file, held=_HELD, owner=quote(who), token=token)
    ended: list[Ran | OpsError] = []
    # pyinfra waits for a command's end, so somebody else has to.
    holder = threading.Thread(target=lambda: ended.append(_run(shell, f"{_DIRECTORY}{hold}")), daemon=True)
    holder.start()
    mine = f'[ "$(cat {file}.token 2>/dev/null)" = {token} ]'
    taken = f"{_DIRECTORY}if {mine}; then echo taken; else cat {file}.owner 2>/dev/null || true; fi"
    deadline = time.monotonic() + 30
    while True:
        said = must(shell, taken, f"{name} cannot be locked").strip()
        if said == "taken":
            break
        for ran in ended:
            if isinstance(ran, OpsError):
                raise ran
            if ran.code == _HELD:
                raise LockHeld(f"{shell.host}: {said or 'somebody'} is at work on it", "Wait until they are done")
            raise HostUnreachable(f"{shell.host}: {name} cannot be locked: {ran.said}", "Look at the host")
        if time.monotonic() > deadline:
            raise HostUnreachable(f"{shell.host} is too slow to be locked", "Look at the host")
        time.sleep(0.05)
    try:
        yield
    finally:
        shell.run(f"{_DIRECTORY}rm -f {file}.token")
        holder.join(timeout=10)


def _run(shell: Shell, script: str) -> Ran | OpsError:
    try:
        return shell.run(script, _LONGEST)
    except OpsError as error:
        return error
