"""Operations on the runner: the host that data is moved from."""

from __future__ import annotations

import io
import secrets
import tarfile

from pyinfra import host
from pyinfra.api.command import FileUploadCommand, StringCommand
from pyinfra.api.operation import operation
from pyinfra.connectors.local import LocalConnector
from pyinfra.facts.server import Home

from ops import output, runner
from ops.environment import root
from ops.facts.runners import Installed
from ops.operations import virtual_environment
from ops.steps import Steps, guarded


@operation()
@guarded
def installed(python: str = "python3") -> Steps:
    """
    Put this very version of the worker on the runner, and where migrations are applied from, in a virtual environment
    of its own below the home directory.

    Older versions stay, because a run that began with them may still be going on; they are a few tens of MB each.

    + python: the interpreter on the runner, 3.11 or newer

    **Example:**

    .. code:: python

        runners.installed(name="Install the worker on the runner")
    """
    if not any(runner.is_first_of(group) for group in runner.workers()):
        return
    if isinstance(host.connector, LocalConnector):
        output.say("The runner is this machine: nothing to install")
        return
    if host.get_fact(Installed, version=runner.version()):
        output.say(f"The runner has version {runner.version()} already")
        return
    place = f"{host.get_fact(Home)}/{runner.directory()}"
    output.say(f"Install version {runner.version()} in {place}")
    # Built under a name of this run's own and renamed at the very end: what was killed is never taken for installed,
    # and its pip, which may still be at work over there, cannot meddle with this one. A virtual environment can be
    # moved as long as nothing but its interpreter is called.
    new = f"{place}.{secrets.token_hex(4)}"
    yield from virtual_environment.begun(python, place, new)
    yield FileUploadCommand(_archive(), f"{new}/package.tar")
    yield StringCommand(f"tar -xf {new}/package.tar -C {new}")
    yield from virtual_environment.filled(f"{new}/bin/python", f"{new}/ops/worker/requirements.lock")
    yield StringCommand(
        f'mv {new}/ops "$({new}/bin/python -c \'import sysconfig; print(sysconfig.get_path("purelib"))\')"'
    )
    yield StringCommand(f"{new}/bin/python -m compileall -q {new}/lib && mv -T {new} {place}")


def _archive() -> io.BytesIO:
    """The worker's part of the package, as a tar file."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for file in runner.package():
            archive.add(file, file.relative_to(root()))
    content.seek(0)
    return content
