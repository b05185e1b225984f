"""Run a job of an environment's schedule, and tell how it went: what a timer starts.

    python -m ops.job INVENTORY JOB             run it
    python -m ops.job INVENTORY JOB --ended     tell of a run that ended without a word, because it was killed

What it remembers lies in STATE_DIRECTORY; each file in CREDENTIALS_DIRECTORY is the secret of that name.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops import clock, dead_man, notices, site
from ops.deploy_process import Deploy
from ops.environment import Environment, root
from ops.errors import ConfigurationError, OpsError, WorkerFailed
from ops.job_memory import Memory
from ops.schedule import Job
from ops.secrets import Secret, hidden, named

_LAST = 20
"""Lines that are sent along."""


class Run:
    """One run of a job.

    Args:
        here: the environment.
        job: which.
        inventory: as it is typed.
        variables: the environment of its process.
        state: the directory in which it remembers.
    """

    def __init__(self, here: Environment, job: Job, inventory: str, variables: dict[str, str], state: Path) -> None:
        self._here = here
        self._job = job
        self._inventory = inventory
        self._variables = variables
        self._file = state / f"{job.name}.json"
        self._memory = Memory.of(self._file)
        self._lines: deque[str] = deque(maxlen=_LAST)

    def carry_out(self) -> int:
        """Run it to its end.

        Returns:
            The exit code: 0, or that of a failure.
        """
        self.ended("the machine went down, or it was killed")
        memory = self._memory
        memory.run, memory.since = str(uuid.uuid4()), clock.iso(clock.now())
        self._remember()
        began = time.monotonic()
        self._ping("start")
        deploy = Deploy(self._command(), {**self._variables, notices.IN_A_JOB: self._job.name}, self._hear)
        problem = deploy.run(clock.duration(self._job.timeout))
        seconds = time.monotonic() - began
        if problem is None:
            self._succeeded(seconds)
        else:
            self._failed(f"{problem} (after {clock.age(seconds)})", seconds)
        return deploy.code

    def ended(self, how: str) -> None:
        """If the last run ended without a word, it has failed.

        Args:
            how: in words.
        """
        if self._memory.run is not None:
            self._say(f"The run of {self._memory.since} did not come to its end: {how}")
            self._failed(f"the run of {self._memory.since} did not come to its end: {how}", None)

    def _command(self) -> list[str]:
        job = self._job
        data = {"reason": f"scheduled: {job.name}", **job.data}
        options = [word for name, value in data.items() for word in ("--data", f"{name}={value}")]
        limit = ["--limit", job.limit] if job.limit else []
        return [sys.executable, "-m", "pyinfra", "-y", *limit, *options, self._inventory, job.deploy]

    def _succeeded(self, seconds: float) -> None:
        memory = self._memory
        self._ping()
        since, memory.failing = memory.failing, None
        memory.run, memory.succeeded = None, clock.iso(clock.now())
        failed = [one for one in self._here.notify if one.name in memory.told]
        heard = self._tell(failed, "works again", f"It had failed since {since}.", bad=False)
        # Who is not in the inventory any more is not waited for.
        memory.told = [one.name for one in failed if one.name not in heard]
        self._remember()
        self._measure(seconds, well=True)

    def _failed(self, problem: str, seconds: float | None) -> None:
        memory = self._memory
        self._ping("fail")
        memory.run, memory.failing = None, memory.failing or clock.iso(clock.now())
        again = f"Type: pyinfra {self._here.name} {self._job.deploy}"
        new = [one for one in self._here.notify if one.name not in memory.told]
        memory.told += self._tell(new, "failed", "\n".join((f"{problem}.", *self._lines, again)), bad=True)
        self._remember()
        self._measure(seconds, well=False)

    def _ping(self, word: str = "") -> None:
        if self._job.ping is not None:
            said = "" if word == "start" else "\n".join(self._lines)
            if problem := dead_man.ping(self._job.ping, self._memory.run or "", word, said):
                self._say(problem)

    def _tell(self, whom: Sequence[Secret], what: str, body: str, bad: bool) -> list[str]:
        """The names of those who heard it."""
        problems = notices.tell(whom, f"{self._here.name}: the job {self._job.name} {what}", body, bad)
        for problem in problems.values():
            self._say(problem)
        return [one.name for one in whom if one not in problems]

    def _remember(self) -> None:
        """A disk that is full keeps no job from being done."""
        try:
            self._memory.keep(self._file)
        except OSError as error:
            self._say(f"It cannot be remembered in {self._file}: {error.strerror}")

    def _measure(self, seconds: float | None, well: bool) -> None:
        directory = self._here.schedule.metrics if self._here.schedule else None
        if directory is None:
            return
        from ops import job_metrics

        of = {"environment": self._here.name}
        succeeded = self._memory.succeeded
        try:
            text = job_metrics.of_job({**of, "name": self._job.name}, time.time(), succeeded, seconds, well)
            job_metrics.write(Path(directory), f"{site.metrics(self._here.name)}job_{self._job.name}", text)
            backups = self._backups()
            text = job_metrics.of_backups({**of, "database": self._here.database.name()}, backups)
            job_metrics.write(Path(directory), f"{site.metrics(self._here.name)}backups", text)
        except (OSError, OpsError, ValueError, subprocess.TimeoutExpired) as error:
            self._say(f"No metrics: {error}")

    def _backups(self) -> Sequence[dict[str, Any]]:
        from ops.runner import request

        asked = subprocess.run(
            [sys.executable, "-m", "ops.worker", "list"],
            input=request(self._here, "list"),
            cwd=root(),
            env={name: value for name, value in self._variables.items() if not name.endswith("_FILE")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        if not asked.stdout:
            raise WorkerFailed("the worker that lists the backups was killed")
        answer: dict[str, Any] = json.loads(asked.stdout.splitlines()[-1])["answer"]
        if "error" in answer:
            raise OpsError.from_json(answer)
        listed: list[dict[str, Any]] = answer["backups"]
        return listed

    def _hear(self, line: str) -> None:
        self._lines.append(self._say(line))

    def _say(self, line: str) -> str:
        """Print a line, without any secret."""
        clean: str = hidden(line, self._here)
        print(clean, flush=True)  # noqa: T201
        return clean


def main(words: Sequence[str]) -> int:
    """Exit code of the deploy, 124 when it took too long, 143 when it was stopped."""
    if len(words) not in (2, 3) or words[2:] not in ([], ["--ended"]):
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    inventory, name, *ended = words
    state = Path(os.environ.get("STATE_DIRECTORY", ""))
    if ended and Memory.of(state / f"{name}.json").run is None:
        return 0
    try:
        if not os.environ.get("STATE_DIRECTORY"):
            raise ConfigurationError("STATE_DIRECTORY is not set", "A unit's StateDirectory= does it")
        variables = _variables()
        os.environ.update(variables)
        here = _environment(inventory)
        run = Run(here, _job(here, name), inventory, variables, state)
        if not ended:
            return run.carry_out()
        run.ended(f"it was killed ({os.environ.get('MONITOR_SERVICE_RESULT', 'nobody knows why')})")
    except OpsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _variables() -> dict[str, str]:
    """The environment of the deploy, in which each secret has the file that it is in."""
    variables = dict(os.environ)
    directory = variables.pop("CREDENTIALS_DIRECTORY", None)
    files = sorted(Path(directory).iterdir()) if directory and Path(directory).is_dir() else []
    # Kubernetes keeps things of its own there, whose names begin with a dot.
    return {**variables, **{f"{file.name}_FILE": str(file) for file in files if file.name.isidentifier()}}


def _environment(inventory: str) -> Environment:
    try:
        found = runpy.run_path(inventory).get("environment")
    except OSError as error:
        raise ConfigurationError(f"the inventory {inventory} cannot be read: {error.strerror}") from None
    except OpsError:
        raise
    except Exception as error:  # whatever somebody wrote into it
        said = str(error).partition("\n")[0]
        raise ConfigurationError(f"the inventory {inventory} does not load: {type(error).__name__}: {said}") from None
    if not isinstance(found, Environment):
        raise ConfigurationError(f"{inventory} has no environment = Environment(…)")
    for secret in named(found).values():
        with suppress(OpsError):  # who needs it says so; the others are known, to be hidden
            secret.reveal()
    return found


def _job(here: Environment, name: str) -> Job:
    jobs = here.schedule.jobs if here.schedule else ()
    for job in jobs:
        if job.name == name:
            return job
    known = ", ".join(job.name for job in jobs) or "none"
    raise ConfigurationError(f"the environment {here.name} has no job {name}", f"There are: {known}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
