"""Where the jobs of an environment are on its runner: paths, names and the command that a unit starts."""

from __future__ import annotations

from dataclasses import dataclass

from ops.clock import duration
from ops.schedule import Job

SECRETS = "/etc/pyinfra-ops"
STATE = "/var/lib/pyinfra-ops"
PROJECTS = "/opt/pyinfra-ops"
UNITS = "/etc/systemd/system"
STAMPS = "/var/lib/systemd/timers"
CRON = "/etc/cron.d"
MARK = "# For "
"""What the line begins with that says which database and store a file is about."""
HERE = "OPS_HERE"
"""The variable that tells a job which host of the inventory it runs on."""
_GRACE = 120
"""Seconds that a job has to end a deploy that took too long, and to tell of it, before it is ended itself."""


@dataclass(frozen=True)
class Site:
    """Where the jobs of an environment run.

    Args:
        environment: its name.
        user: who they run as.
        project: the directory that they run in: it holds ``ops``, ``deploys`` and the inventory.
        python: the interpreter.
        inventory: as typed in that directory.
        here: the runner's name in the inventory; None: it is ``@local`` there as well.
        secrets: the names of those that lie on the runner.
        writes: directories that the jobs write to.
        of: which database and store they are about, in words: what tells two environments of one name apart.
        home: of the user.
    """

    environment: str
    user: str
    project: str
    python: str
    inventory: str
    here: str | None
    secrets: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    of: str = ""
    home: str = ""

    @property
    def secrets_directory(self) -> str:
        """Holds a file for each secret."""
        return f"{SECRETS}/{self.environment}"

    @property
    def state(self) -> str:
        """Holds what a job remembers of its last run, and its lock."""
        return f"{STATE}/{self.environment}"

    @property
    def crontab(self) -> str:
        """The file for cron, which reads none with a dot in its name."""
        return f"{CRON}/pyinfra-ops-{self.environment}"

    @property
    def prefix(self) -> str:
        """What the names of all units begin with. No environment's name has a dot in it."""
        return f"pyinfra-ops-{self.environment}."

    def unit(self, job: Job) -> str:
        """The name of a job's unit, without its kind."""
        return f"{self.prefix}{job.name}"

    def lock(self, job: Job) -> str:
        """The file that ``flock`` locks while a job runs."""
        return f"{self.state}/{job.name}.lock"

    def command(self, job: Job, *more: str) -> list[str]:
        """What runs a job."""
        return [self.python, "-m", "ops.job", self.inventory, job.name, *more]

    def variables(self) -> dict[str, str]:
        """What a job's environment holds, beside secrets and state."""
        return {"LANG": "C.UTF-8", **({HERE: self.here} if self.here else {})}

    def patience(self, job: Job) -> int:
        """Seconds after which a job is ended from outside."""
        return round(duration(job.timeout)) + _GRACE

    @property
    def locks(self) -> str:
        """Holds the user's locks on the services of this host (``ops.host_lock``)."""
        return f"{self.home}/.local/state/pyinfra-ops"

    @property
    def metrics(self) -> str:
        """What the names of all files of metrics begin with. No environment's name has a dot in it."""
        return metrics(self.environment)

    def headline(self) -> str:
        """The first lines of every file."""
        told = f"# Written by pyinfra {self.environment} deploys/schedule.py: change the inventory and type that again."
        return f"{told}\n{MARK}{self.of}"


def metrics(environment: str) -> str:
    """See ``Site.metrics``."""
    return f"pyinfra_ops_{environment}."
