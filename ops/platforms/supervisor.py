"""supervisord, by ``supervisorctl``."""

from __future__ import annotations

import re
from datetime import datetime
from shlex import quote

from ops.errors import ServiceError, ServiceMissing
from ops.platforms import processes, settings
from ops.platforms.base import Instance, Platform, Release, State, Status
from ops.platforms.directories import Directories
from ops.platforms.shell import Ran, Shell
from ops.services import Supervisor

_STATES = {
    "RUNNING": State.RUNNING,
    "STARTING": State.STARTING,
    "STOPPING": State.STOPPED,
    "STOPPED": State.STOPPED,
    "EXITED": State.FAILED,
    "BACKOFF": State.FAILED,
    "FATAL": State.FAILED,
    "UNKNOWN": State.FAILED,
}
"""http://supervisord.org/subprocess.html#process-states"""


class SupervisorPlatform(Platform):
    """A service under supervisord on one host.

    Args:
        service: its description.
        shell: on the host.
    """

    def __init__(self, service: Supervisor, shell: Shell) -> None:
        self._service = service
        self._shell = shell
        self._programs = service.programs or (service.name,)
        self._ctl = f"{quote(service.command)} -c {quote(service.configuration)}"
        self._directories = Directories(shell, service.releases) if service.releases else None

    def status(self) -> Status:
        """See ``Platform``."""
        # Its exit code tells of states (3: something is stopped); what it prints tells more.
        names = " ".join(map(quote, self._programs))
        script = (
            f'status=$({self._ctl} status {names}); echo "$status"\n{processes.SCRIPT}'
            "began $(echo \"$status\" | sed -n 's/.* pid \\([0-9]*\\),.*/\\1/p')\n"
        )
        if self._directories:
            script += f"( {self._directories.script()} )\n"
        ran = self._shell.run(script)
        began = processes.read(ran.out)
        instances = tuple(self._instance(name, ran, began) for name in self._programs)
        if self._directories is None:
            return Status(instances)
        known = self._directories.read(ran.out)
        current = known.current
        return Status(instances, current.id if current else None, current.served if current else None)

    def _instance(self, name: str, ran: Ran, began: dict[int, processes.Process]) -> Instance:
        found = re.search(rf"^{re.escape(name)} +([A-Z]+) *(.*)$", ran.out, re.MULTILINE)
        if not found or found[2] == "(no such process)":
            raise self._missing(name, ran)
        state = _STATES[found[1]]
        pid = re.search(r"pid (\d+)", found[2])
        process = began.get(int(pid[1])) if pid else None
        if process is None:
            return Instance(name, state)
        release = self._directories.holding(process.directory) if self._directories else None
        return Instance(name, state, process.since, release)

    def _missing(self, name: str, ran: Ran) -> ServiceError:
        if "no such process" in ran.out.lower():
            return ServiceMissing(
                f"{self._shell.host}: supervisord has no program {name}", "Look at programs= in the inventory"
            )
        return ServiceError(f"{self._shell.host}: supervisord does not answer: {ran.said}",
                            f"Is it running, and is {self._service.configuration} its configuration?")  # fmt: skip

    def releases(self) -> list[Release]:
        """See ``Platform``."""
        return self._directories.ask().releases if self._directories else []

    def restart(self, instance: str) -> None:
        """See ``Platform``."""
        self._do("restart", instance)

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        self._do("start", instance)

    def stop(self, instance: str) -> None:
        """See ``Platform``."""
        self._do("stop", instance)

    def _do(self, verb: str, instance: str) -> None:
        """Whether what was started holds is seen by who looks afterwards: "abnormal termination" is no failure here."""
        ran = self._shell.run(f"{self._ctl} {verb} {quote(instance)}", timeout=120)
        said = ran.out + ran.err
        if "no such process" in said:
            raise self._missing(instance, ran)
        if not re.search(r"started|stopped|already started|not running|abnormal termination|spawn error", said):
            raise ServiceError(f"{self._shell.host}: {instance} could not be told to {verb}: {ran.said}",
                               "Look at supervisord's log")  # fmt: skip

    def activate(self, release: str) -> bool:
        """See ``Platform``."""
        if self._directories is None:
            raise ServiceError(f"{self._service.name} has no releases", "Write releases=… in the inventory")
        return self._directories.activate(release)

    def logs(self, since: datetime | None = None, lines: int = 100) -> list[str]:
        """See ``Platform``. Its log has no times, so ``since`` is not looked at."""
        names = " ".join(map(quote, self._programs))
        script = f"for each in {names}; do {self._ctl} tail -{200 * lines} $each stderr; done"
        script += f"; for each in {names}; do {self._ctl} tail -{200 * lines} $each; done"
        found = [line for line in self._shell.run(script).out.splitlines() if line.strip()]
        return found[-lines:]

    def missing(self, names: list[str]) -> list[str]:
        """See ``Platform``."""
        return settings.missing(self._shell, self._service, names)
