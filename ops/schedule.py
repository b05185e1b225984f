"""The typed description of what runs by itself: which deploys, when, and who is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ops.checks.base import Age
from ops.clock import duration
from ops.described import Described, Name
from ops.secrets import Secret

Path = Annotated[
    str,
    Field(pattern=r"^/[A-Za-z0-9._/+-]*$", description="an absolute path of letters, digits, and . _ + - /"),
]


class Job(Described):
    """A deploy that is run again and again.

    Args:
        name: short name; the unit is called by it.
        deploy: the page, as it would be typed.
        at: when, as systemd writes it (``man systemd.time``), always in UTC: ``*-*-* 02:30:00``, ``Sun *-*-* 04:00``.
        delay: the run begins at a random time within this after ``at``, so that not everybody begins at once.
        timeout: a run that takes longer is ended, and has failed.
        data: options of the deploy, as after ``--data``. No secrets: they can be seen in the list of processes.
        limit: the group of hosts that it is limited to, so that another that is down is no failure; None: all.
        ping: URL of a dead man's switch as healthchecks.io has them: told of start, success and failure.
        nice: priority on the processor, from -20 (first) to 19 (last).
        io: priority on the disks: after all others (``idle``), or the last of the usual ones.
    """

    name: Name
    deploy: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]+\.py$", description="a file such as deploys/backup.py")]
    at: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9*][A-Za-z0-9*:/.,~ -]*$", description="a time such as *-*-* 02:30:00"),
    ]
    delay: Age = "10m"
    timeout: Age = "2h"
    data: dict[Annotated[str, Field(pattern=r"^\w+$")], str] = Field(default_factory=dict)
    limit: str | None = None
    ping: Secret | None = None
    nice: Annotated[int, Field(ge=-20, le=19)] = 10
    io: Literal["best-effort", "idle"] = "best-effort"

    @field_validator("timeout")
    @classmethod
    def _some_time(cls, timeout: str) -> str:
        if duration(timeout) < 1:
            raise ValueError("it must be at least 1s")
        return timeout

    @property
    def calendar(self) -> str:
        """When, with the time zone."""
        return self.at if self.at.endswith(" UTC") else f"{self.at} UTC"


BACKUP = Job(name="backup", deploy="deploys/backup.py", at="*-*-* 02:30:00 UTC", data={"max_age": "1h"}, limit="runner")
"""Every night, pruned after it. One that was taken late, because the machine was down, does not stand for the next."""
DRILL = Job(name="drill", deploy="deploys/drill.py", at="Sun *-*-* 04:30:00 UTC", limit="runner")
"""Every week."""


class Schedule(Described):
    """What runs by itself on the runner.

    Args:
        jobs: which deploys; by default a backup every night, and every week a drill.
        user: who they run as there; None: who connects to the runner.
        metrics: directory that Prometheus's node_exporter collects text files from; None: no metrics.
        writes: further directories that the deploys may write to: all but the store's and the temporary ones are
            read-only to them.
    """

    jobs: tuple[Job, ...] = (BACKUP, DRILL)
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$", description="the name of a user")] | None = None
    metrics: Path | None = None
    writes: tuple[Path, ...] = ()

    @field_validator("jobs")
    @classmethod
    def _each_has_a_name_of_its_own(cls, jobs: tuple[Job, ...]) -> tuple[Job, ...]:
        names = [job.name for job in jobs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two jobs are called {twice}")
        return jobs
