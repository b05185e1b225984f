"""Going back to a branch on Neon: what would be lost, the way there, and the proof that its content is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyinfra.api.operation import operation

from ops import arguments, branches, clock, output, runner
from ops.clouds.neon import Project
from ops.confirmation import confirmed
from ops.errors import ServiceError
from ops.operations import loss, neon
from ops.steps import Step, Steps, on_runner, plan


@operation()
@on_runner
def gone_back(branch: str, confirm: str | None = None) -> Steps:
    """
    Let the environment's branch have the content of another; what it had is kept as a branch of its own. Shown before:
    what would be lost, table by table. Always a change.

    + branch: whose content
    + confirm: the environment's name, where it is protected

    **Example:**

    .. code:: python

        restore_points.gone_back(name="Back to before the import", branch="before-the-import")
    """
    known = looked(str(branch), None)
    output.table(loss.render(known))
    confirmed(runner.environment(), confirm)
    yield from going_back(known)


def looked(branch: str | None, migration: str | None) -> dict[str, Any]:
    """What going back would lose, as the worker's verb ``branch`` tells.

    Args:
        branch: whose content; None: the newest restore point's that fits.
        migration: the last one that must be applied in it; None: whichever, of a branch that is named.

    Raises:
        ConfigurationError: the database is not on Neon.
        OpsError: there is no such branch, or it cannot be looked at.
    """
    neon.on_neon()
    return runner.ask("branch", branch=branch, migration=migration)


def going_back(known: Mapping[str, Any], restored: bool = False) -> Steps:
    """The steps of ``gone_back``.

    Args:
        known: what ``looked`` answered.
        restored: whether the branch was restored already, so that only the proof is left.
    """
    described, name = neon.on_neon(), known["branch"]["name"]
    project = Project(described)
    if not restored:
        yield from neon.restoring(project, project.require(described.branch), project.require(name))
    words = f"Prove that {described.branch} is as {name} is"
    plan(words)
    yield Step(words, lambda: _proven(project, name))


def went_back(name: str, since: str) -> bool:
    """Whether the environment's branch was restored from another after a time, which the name of what it had tells.

    Args:
        name: of the other.
        since: as in a record.
    """
    described, began = neon.on_neon(), clock.parse_iso(since)
    project = Project(described)
    # What was undone since is made of what it had.
    if project.require(described.branch).parent != project.require(name).id:
        return False
    restored = (branches.kept(one.name, described.branch) for one in project.branches())
    return any(time is not None and time >= began for time in restored)


def _proven(project: Project, name: str) -> None:
    here, described = runner.environment(), neon.on_neon()
    project.settled(described.branch)
    before, after = described.plain().url, project.uri(described.branch)
    if before is None or before.reveal() != after.reveal():
        raise ServiceError(
            f"the branch {described.branch} has another URL than before: its role has a new password, or it moved",
            "Give the services the one that Neon's console shows, then type the same again",
        )
    told = runner.ask("branch", branch=name, until="proof")
    kept = max(one.name for one in project.branches() if branches.kept(one.name, described.branch))
    back = arguments.command("deploys/restore.py", branch=kept, confirm=here.name if here.protected else None)
    output.say(
        f"{described.branch} is as {name} is: {told['tables']} tables, {told['rows']:,} rows, the schema, the last "
        f"migration {told['migration'] or 'none'}"
    )
    output.say(f"to go back to what it had: {back}")
