"""supervisord, by ``supervisorctl``."""

from __future__ import annotations

import re
from datetime import datetime
from shlex import quote

from ops.errors import ServiceError, ServiceMissing
from ops.platforms import processes
from ops.platforms.base import Instance, State
from ops.platforms.directories import holding
from ops.platforms.released import ReleasedPlatform
from ops.platforms.shell import Ran, Shell, to_the_end
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
_MARK = "ops-log"


class SupervisorPlatform(ReleasedPlatform):
    """A service under supervisord on one host.

    Args:
        service: its description.
        shell: on the host.
    """

    dated = False

    def __init__(self, service: Supervisor, shell: Shell) -> None:
        super().__init__(service, shell)
        self._service: Supervisor = service
        self._programs = service.programs or (service.name,)
        self._ctl = f"{quote(service.command)} -c {quote(service.configuration)}"

    def _ask(self) -> tuple[tuple[Instance, ...], str]:
        # Its exit code tells of states (3: something is stopped); what it prints tells more.
        names = " ".join(map(quote, self._programs))
        script = (
            f'status=$({self._ctl} status {names}); echo "$status"\n{processes.SCRIPT}'
            "began $(echo \"$status\" | sed -n 's/.* pid \\([0-9]*\\),.*/\\1/p')\n"
        )
        ran = self._shell.run(script + self._releases_script())
        began = processes.read(ran.out)
        instances = tuple(self._instance(name, ran, began) for name in self._programs)
        return instances, ran.out

    def _instance(self, name: str, ran: Ran, began: dict[int, processes.Process]) -> Instance:
        found = re.search(rf"^{re.escape(name)} +([A-Z]+) *(.*)$", ran.out, re.MULTILINE)
        if not found or found[2] == "(no such process)":
            raise self._missing(name, ran)
        state = _STATES[found[1]]
        pid = re.search(r"pid (\d+)", found[2])
        process = began.get(int(pid[1])) if pid else None
        if process is None:
            return Instance(name, state)
        release = holding(ran.out, process.directory) if self._directories else None
        return Instance(name, state, process.since, release)

    def _missing(self, name: str, ran: Ran) -> ServiceError:
        if "no such process" in ran.out.lower():
            return ServiceMissing(
                f"{self._shell.host}: supervisord has no program {name}", "Look at programs= in the inventory"
            )
        return ServiceError(f"{self._shell.host}: supervisord does not answer: {ran.said}",
                            f"Is it running, and is {self._service.configuration} its configuration?")  # fmt: skip

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
        # supervisorctl stops, and then starts: it must not end in between.
        ran = self._shell.run(to_the_end(f"{self._ctl} {verb} {quote(instance)}"), timeout=120)
        said = ran.out + ran.err
        if "no such process" in said:
            raise self._missing(instance, ran)
        if not re.search(r"started|stopped|already started|not running|abnormal termination|spawn error", said):
            raise ServiceError(f"{self._shell.host}: {instance} could not be told to {verb}: {ran.said}",
                               "Look at supervisord's log")  # fmt: skip

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``. Its log has no times, so ``since`` is not looked at."""
        names = [instance] if instance else self._programs
        script = "".join(
            f"echo {_MARK} {stream}; {self._ctl} tail -{200 * lines} {quote(name)} {stream}\n"
            for stream in ("stdout", "stderr")
            for name in names
        )
        said: dict[str, list[str]] = {"stdout": [], "stderr": []}
        into = said["stdout"]
        for line in self._shell.run(script).out.splitlines():
            if line.startswith(_MARK):
                into = said[line.split()[1]]
            elif line.strip():
                into.append(line)
        # Half each, and what one does not need is the other's; what went wrong stands last.
        out, err = said["stdout"], said["stderr"]
        of_err = min(len(err), max(lines - lines // 2, lines - len(out)))
        of_out = min(len(out), lines - of_err)
        return out[len(out) - of_out :] + err[len(err) - of_err :]
