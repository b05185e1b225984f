"""The steps by which a virtual environment comes to be on a host, under a name that nobody takes for a finished one."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.command import StringCommand

from ops.steps import Steps


def begun(python: str, place: str, new: str, within: str = "") -> Steps:
    """An empty one.

    Args:
        python: the interpreter on the host.
        place: what it is to be called once it is whole.
        new: what it is called until then: ``place``, a dot, and what is only this run's own.
        within: the directory of it, below ``new``; none: ``new`` itself.
    """
    too_old = f"{python} on {host.name} is older than 3.11: name a newer one, --data python=python3.12"
    yield StringCommand(f"{python} -c 'import sys; sys.exit(sys.version_info < (3, 11) and \"{too_old}\" or 0)'")
    # What killed installations left may still be written to by their last process; it goes with the next one then.
    yield StringCommand(f"umask 077; rm -rf {place}.* || true; mkdir -p {new} && {python} -m venv {new}{within}")


def filled(interpreter: str, lock: str) -> Steps:
    """Everything in it that a lock file names.

    Args:
        interpreter: its own.
        lock: the file on the host.
    """
    pip = f"{interpreter} -m pip install --quiet --disable-pip-version-check --no-input --require-hashes"
    yield StringCommand(f"{pip} -r {lock}")
