"""Operations on the branches on Neon that this software makes: show them, prune them, make one beside the backups."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pyinfra.api.operation import operation

from ops import branches, clock, output, runner
from ops.clouds.neon import Project
from ops.clouds.neon_resources import Branch
from ops.errors import ConfigurationError
from ops.operations import branching, neon, table
from ops.steps import Step, Steps, on_runner, plan

NO_BACKUP = "a branch goes with its project, and is no backup: those are in the store (deploys/backups.py)"


@operation()
@on_runner
def show() -> Steps:
    """
    Print the branches as a table. Never a change.

    **Example:**

    .. code:: python

        branches.show(name="Show the branches")
    """
    here, described = runner.environment(), neon.on_neon()
    output.table(_table(f"{here.name}: branches of {described.project}", Project(described), described.branch))
    yield from ()


@operation()
@on_runner
def backed_up(keep: str = "7d", max_age: str | None = None) -> Steps:
    """
    Make a branch of the database as it is now, beside the backups in the store: to look at, or to go back to within
    seconds. It never counts as a backup.

    + keep: for how long, 30d at most
    + max_age: no change when there is one that is younger, such as ``20h``; none: always make one

    **Example:**

    .. code:: python

        branches.backed_up(name="A branch beside the backup", keep="7d", max_age="20h")
    """
    here, described = runner.environment(), neon.on_neon()
    kept, now = timedelta(seconds=clock.duration(keep)), clock.now()
    if not timedelta() < kept <= branches.LONGEST:
        raise ConfigurationError(f"a branch cannot be kept for {keep}", "Neon keeps one that expires for 30d at most")
    project = Project(described)
    young = None if max_age is None else now - timedelta(seconds=clock.duration(max_age))
    for one in branches.of(here.name, branches.BACKUP, project.branches()):
        if young is not None and one.state != "init" and branches.content(one) > young:
            output.say(f"No branch needed: {one.name} is younger than {max_age}; {NO_BACKUP}")
            return
    words = f"Make a branch of {described.branch} beside the backups, for {keep}; {NO_BACKUP}"
    plan(words)
    yield Step(words, lambda: _made(project, described.branch, here.name, kept), alone=False)


@operation()
@on_runner
def pruned(sure: str | bool = "yes") -> Steps:
    """
    Delete the branches that this software made for this environment and that are past their rule: restore points older
    than ``Neon(restore_points=…)``, what rehearsals left, and whatever has expired. Others are never touched.

    + sure: yes

    **Example:**

    .. code:: python

        branches.pruned(name="Prune the branches")
    """
    if sure not in ("yes", True):
        raise ConfigurationError(f"prune={sure} does not say yes", "Write --data prune=yes")
    here, described = runner.environment(), neon.on_neon()
    project, rule = Project(described), clock.duration(described.restore_points)
    known = project.branches()
    ours = [one for purpose in branches.PURPOSES for one in branches.of(here.name, purpose, known)]
    going = [one for one in ours if branches.past(one, rule, clock.now())]
    stays = {one.name: why for one in going if (why := branching.needed(one, known, described.branch))}
    for name, why in stays.items():
        output.say(f"{name} stays, although it is past its rule: {why}")
    going = [one for one in going if one.name not in stays]
    if not going:
        output.say(f"Nothing to prune: none of the {len(ours)} branches made for {here.name} is past its rule")
    for one in going:
        words = f"Delete the branch {one.name}, which is from {clock.iso(branches.content(one))}"
        plan(words)
        yield Step(words, partial(project.delete, one))


def _made(project: Project, of: str, environment: str, kept: timedelta) -> None:
    now = clock.now()
    name = str(branches.Made(branches.BACKUP, environment, now))
    project.make(name, project.require(of), expires=branches.expiry(now, kept), endpoint=False)
    output.say(f"the branch is {name}")


def _table(title: str, project: Project, own: str) -> str:
    known, now = project.branches(), clock.now()
    names = {one.id: one.name for one in known}
    runs: dict[str, list[str]] = {}
    for endpoint in project.endpoints():
        runs.setdefault(endpoint.branch, []).append(endpoint.state)
    rows = [
        [
            one.name,
            names.get(one.parent, "") if one.parent else "a root",
            clock.age((now - one.created).total_seconds()),
            _left(one, now),
            ", ".join(runs.get(one.id, [])) or "none",
            ", ".join(_marks(one, own)),
        ]
        for one in known
    ]
    headings = ["branch", "made of", "age", "expires in", "compute", "what it is"]
    columns: dict[str, dict[str, Any]] = {heading: {"overflow": "fold"} for heading in headings}
    columns["branch"]["min_width"], columns["age"]["no_wrap"] = 26, True
    purposes = {its.purpose for one in known if (its := branches.made(one.name)) is not None}
    remarks = [f"{purpose}: {words}" for purpose, words in branches.PURPOSES.items() if purpose in purposes]
    return table.rendered(title, columns, rows, table.WIDTH, "there is none") + "\n".join([*remarks, NO_BACKUP])


def _left(branch: Branch, now: datetime) -> str:
    if branch.expires is None:
        return ""
    return clock.age((branch.expires - now).total_seconds()) if branch.expires > now else "expired"


def _marks(branch: Branch, own: str) -> Iterator[str]:
    its = branches.made(branch.name)
    if branch.name == own:
        yield "the environment itself"
    if its is not None:
        yield f"{its.purpose} of {its.environment}"
    if branches.kept(branch.name) is not None:
        yield "what was there before a restore"
    if branch.default:
        yield "default"
    if branch.protected:
        yield "protected"
