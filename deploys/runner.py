"""Put this version of the worker on the runner, when that is a remote host.

pyinfra prod deploys/runner.py [--data python=python3.12]
"""

from pyinfra import host

from ops.operations import runners

runners.installed(name="Install the worker on the runner", python=host.data.get("python", "python3"))
