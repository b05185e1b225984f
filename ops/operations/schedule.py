"""Operations on the schedule: put it on the runner, show it, take it away."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import replace
from fnmatch import fnmatch

from pyinfra import host, inventory, state
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import NoGroupError
from pyinfra.api.operation import operation
from pyinfra.operations import files, systemd

from ops import clock, cron, output, runner, units
from ops.environment import root
from ops.errors import ConfigurationError, LockHeld, SecretMissing
from ops.facts.schedule import Elapses, Found, Keeper, Keys, Running, Runs, Timekeeper, Told, Writable
from ops.operations import site
from ops.schedule import Schedule
from ops.secrets import named
from ops.site import PROJECTS, SECRETS, STAMPS, STATE, UNITS, Site, metrics
from ops.steps import Steps, on_runner, plan


@operation()
@on_runner
def checked() -> Steps:
    """
    See that the runner can start every job when it is to be started. Never a change.

    **Example:**

    .. code:: python

        schedule.checked(name="See that the schedule can be kept")
    """
    described, keeper = _described(), _keeper()
    _require_ours()
    for job in described.jobs:
        away = job.deploy.startswith("/")
        if not (host.get_fact(Found, patterns=[job.deploy]) if away else (root() / job.deploy).is_file()):
            raise ConfigurationError(f"the job {job.name} runs {job.deploy}, which does not exist", "Look at deploys/")
        if job.limit is not None and not _matches(job.limit):
            raise ConfigurationError(
                f"the job {job.name} is limited to {job.limit}, and there is no such group or host in the inventory",
                'Write limit="runner", or None for all',
            )
        if keeper.kind == "cron":
            cron.when(job.calendar)
        elif not host.get_fact(Elapses, calendar=job.calendar):
            raise ConfigurationError(
                f"the job {job.name} never runs at {job.calendar!r}",
                "Write a time such as *-*-* 02:30:00, and try it: systemd-analyze calendar '…'",
            )
    if keeper.kind == "cron" and keeper.zone not in ("UTC", "Etc/UTC", "Universal"):
        raise ConfigurationError(
            f"cron on {host.name} goes by {keeper.zone}, and the times of jobs are UTC", "Set its time zone to UTC"
        )
    one = site.of(described)
    user = one.user
    if one.here is None and not host.get_fact(
        Runs, user=user, directory=one.project, python=one.python, file=one.inventory
    ):
        raise ConfigurationError(
            f"{user} cannot run this project in {one.project}",
            f"Let {user} read it, with .venv and {one.inventory}, and pass the directories above; or move it to /srv",
        )
    if described.metrics and not host.get_fact(Writable, user=user, directory=described.metrics):
        raise ConfigurationError(
            f"{user} cannot write to {described.metrics} on {host.name}, where metrics are to be put",
            f"Make it, and type there: chown {user} {described.metrics}; or write metrics=None",
        )
    yield from ()


@operation()
@on_runner
def project(python: str = "python3") -> Steps:
    """
    Put this very version of ops, deploys and inventories on the runner, in a virtual environment of its own, when the
    runner is a remote host.

    + python: the interpreter on the runner, 3.11 or newer

    **Example:**

    .. code:: python

        schedule.project(name="Put this version on the runner")
    """
    yield from site.installed(site.of(_described()), python)


@operation()
@on_runner
def secrets() -> Steps:
    """
    Put the secrets that the inventory names on the runner, a file each that only root can read, or where cron starts
    the jobs, their user. One that cannot be found here is left as it is there.

    **Example:**

    .. code:: python

        schedule.secrets(name="Put the secrets on the runner")
    """
    one, keeper = site.of(_described()), _keeper()
    directory, owner = one.secrets_directory, one.user if keeper.kind == "cron" else "root"
    known, missing = _secrets()
    there = host.get_fact(Keys, directory=directory)
    new = [name for name, value in known.items() if there.get(name) != f"{_digest(value)} 600 {owner}"]
    old = sorted(there.keys() - known.keys() - set(missing))
    for name in missing:
        if name in there:
            output.say(f"The secret {name} is not found here; the one that is on {host.name} stays")
        else:
            output.say(f"The secret {name} is nowhere: what needs it will fail. Set it, and type this again")
    if not new and not old:
        output.say(f"{len(known)} secrets are in {directory}")
        return
    plan(f"Put {', '.join(new) or 'no secret'} into {directory}")
    if old:
        plan(f"Remove {', '.join(old)} from there")
    yield StringCommand(f"install -d -m 755 {SECRETS} && install -d -m 700 -o {owner} {directory}")
    for name in new:
        file = f"{directory}/{name}"
        yield StringCommand(
            f"umask 077; cat > {file}.new && chown {owner} {file}.new && mv {file}.new {file}", _stdin=known[name]
        )
    for name in old:
        yield StringCommand(f"rm {directory}/{name}")


@operation()
@on_runner
def installed() -> Steps:
    """
    Have systemd start every job at its time, or cron where there is no systemd; and none that is not declared any more.

    **Example:**

    .. code:: python

        schedule.installed(name="Install the timers")
    """
    described = _described()
    one = site.of(described)
    yield from site.directories(one)
    yield from _tidied(described)
    if _keeper().kind == "cron":
        yield from files.directory._inner(path=STATE, mode="755")
        yield from files.directory._inner(path=one.state, user=one.user, mode="700", recursive=True)
        yield from _put(one.crontab, cron.crontab(one, described.jobs))
        return
    known, missing = _secrets()
    there = host.get_fact(Keys, directory=one.secrets_directory)
    one = replace(one, secrets=tuple(sorted({*known, *(set(missing) & there.keys())})))
    if host.get_fact(Found, patterns=[one.crontab]):
        yield StringCommand(f"rm {one.crontab}")  # from when cron did it
    changed, timers = False, {}
    for job in described.jobs:
        name = one.unit(job)
        for kind, text in ((".service", units.service(one, job)), (units.ENDED, units.ended(one, job))):
            for command in _put(f"{UNITS}/{name}{kind}", text):
                changed = True
                yield command
        timers[name] = False
        for command in _put(f"{UNITS}/{name}.timer", units.timer(one, job)):
            if not timers[name]:
                # Otherwise systemd would catch up what was missed by the new time before it was the time.
                stamp = f"{STAMPS}/stamp-{name}.timer"
                yield StringCommand(f"[ ! -e {stamp} ] || touch {stamp}")
            changed = timers[name] = True
            yield command
    for name in _others(one, list(timers)):
        changed = True
        plan(f"Take {name} away, which is not declared any more")
        yield StringCommand(f"systemctl disable --now {name}.timer; rm -f {_files(name)}")
    if changed:
        yield from systemd.daemon_reload._inner()
    for name, new in timers.items():
        yield from systemd.service._inner(service=f"{name}.timer", running=True, restarted=new, enabled=True)
    if not changed:
        output.say("The timers are as they are to be")


@operation()
@on_runner
def shown() -> Steps:
    """
    Print when every job runs next. Never a change.

    **Example:**

    .. code:: python

        schedule.shown(name="Show when the jobs run")
    """
    described, keeper = _described(), _keeper()
    jobs: dict[str, dict[str, str | list[str]]] = {}
    output.attach("jobs", jobs)
    for job in described.jobs:
        if keeper.kind == "cron":
            jobs[job.name] = {"cron": cron.when(job.calendar)}
            output.say(f"{job.name} runs by cron at {cron.when(job.calendar)} (UTC)")
            continue
        first, *later = host.get_fact(Elapses, calendar=job.calendar)
        jobs[job.name] = {"next": [first, *later]}
        late = f", up to {job.delay} later" if clock.duration(job.delay) else ""
        output.say(f"{job.name} runs next at {first}{late}; then at {', '.join(later) or 'no other time'}")
    yield from ()


@operation()
@on_runner
def removed() -> Steps:
    """
    Take all jobs of the environment away from the runner: timers, secrets, what they remembered, and this project.

    **Example:**

    .. code:: python

        schedule.removed(name="Take the jobs away")
    """
    _keeper()
    here = runner.environment()
    _require_ours()
    one = Site(here.name, "root", "", "", "", None)
    running = host.get_fact(Running, prefix=one.prefix, state=one.state)
    if running and not state.is_executing:
        raise LockHeld(f"{', '.join(running)} is at work", "Wait for its end, or stop it")
    metrics = here.schedule.metrics if here.schedule else None
    found = host.get_fact(
        Found,
        patterns=[
            *(f"{UNITS}/{one.prefix}*", f"{STAMPS}/stamp-{one.prefix}*", one.crontab),
            *(one.secrets_directory, one.state, f"{PROJECTS}/{here.name}"),
            *([f"{metrics}/{one.metrics}*.prom"] if metrics else []),
        ],
    )
    if not found:
        output.say("Nothing of the schedule is there")
        return
    plan(f"Take away {', '.join(found)}")
    timers = [path.rpartition("/")[2] for path in found if path.startswith(UNITS) and path.endswith(".timer")]
    if timers:
        yield StringCommand(f"systemctl disable --now {' '.join(timers)}")
    yield StringCommand(f"rm -rf {' '.join(found)}")
    # The last one of its kind takes the directory that all environments share.
    yield StringCommand(f"for each in {SECRETS} {STATE} {PROJECTS}; do rmdir $each 2>/dev/null; done; true")
    if timers:
        yield from systemd.daemon_reload._inner()
        yield StringCommand(f"systemctl reset-failed '{one.prefix}*' 2>/dev/null || true")


def wanted(present: str) -> bool:
    """Whether the schedule is to be there.

    Args:
        present: as typed.

    Raises:
        ConfigurationError: it is neither yes nor no.
    """
    if present not in ("yes", "no"):
        raise ConfigurationError(f"present={present} says neither yes nor no", "Write --data present=no")
    return present == "yes"


def _described() -> Schedule:
    here = runner.environment()
    if here.schedule is None:
        raise ConfigurationError(
            f"the environment {here.name} has no schedule", "Write schedule=Schedule() in its inventory"
        )
    return here.schedule


def _matches(limit: str) -> bool:
    """Whether pyinfra finds hosts by it, as ``--limit`` does."""
    try:
        return bool(inventory.get_group(limit))
    except NoGroupError:
        return any(fnmatch(one.name, limit) for one in inventory)


def _keeper() -> Keeper:
    keeper: Keeper = host.get_fact(Timekeeper)
    if not keeper.root:
        raise ConfigurationError(f"only root can install jobs on {host.name}", "Add --sudo")
    if keeper.kind == "none":
        raise ConfigurationError(
            f"{host.name} has neither systemd (/run/systemd/system) nor cron (cron or crond, and /etc/cron.d)",
            "docs/schedule.md has other ways",
        )
    if not keeper.flock:
        raise ConfigurationError(f"{host.name} has no flock", "Install util-linux there")
    return keeper


def _secrets() -> tuple[dict[str, str], list[str]]:
    """The values of those that are found here, and the names of the others."""
    known, missing = {}, []
    for name, one in sorted(named(runner.environment()).items()):
        if not re.fullmatch(r"\w+", name):
            raise ConfigurationError(f"the secret {name} cannot be a file's name", "Use letters, digits and _")
        try:
            known[name] = one.reveal()
        except SecretMissing:
            missing.append(name)
    return known, missing


def _digest(value: str) -> str:
    """Of the file, which ends with a new line."""
    return hashlib.sha256((value if value.endswith("\n") else f"{value}\n").encode()).hexdigest()


def _put(path: str, text: str) -> Steps:
    """A file with just this content, written only when it is not there already."""
    yield from files.put._inner(src=io.StringIO(text), dest=path, user="root", group="root", mode="644")


def _others(one: Site, names: list[str]) -> list[str]:
    """The jobs that were installed and are not declared any more."""
    found = host.get_fact(Found, patterns=[f"{UNITS}/{one.prefix}*.timer"])
    there = [path.rpartition("/")[2].removesuffix(".timer") for path in found]
    return [name for name in there if name not in names]


def _tidied(described: Schedule) -> Steps:
    """Metrics of jobs that are not declared any more would be taken for theirs for ever."""
    if described.metrics is None:
        return
    begin = f"{described.metrics}/{metrics(runner.environment().name)}job_"
    known = [f"{begin}{job.name}.prom" for job in described.jobs]
    old = [path for path in host.get_fact(Found, patterns=[f"{begin}*.prom"]) if path not in known]
    if old:
        yield StringCommand(f"rm {' '.join(old)}")


def _require_ours() -> None:
    """Two environments of one name would take each other's jobs away.

    Raises:
        ConfigurationError: the jobs that are there are another's.
    """
    here = runner.environment()
    one = Site(here.name, "root", "", "", "", None, of=site.identity())
    there = host.get_fact(Told, patterns=[f"{UNITS}/{one.prefix}*.timer", one.crontab])
    others = [of for of in there if of != one.of]
    if others:
        raise ConfigurationError(
            f"{host.name} has jobs of another environment that is called {here.name} as well: of {others[0]}",
            "Call one of them otherwise; or take those away first, by the inventory they are of: --data present=no",
        )


def _files(unit: str) -> str:
    return f"{UNITS}/{unit}.* {STAMPS}/stamp-{unit}.timer"
