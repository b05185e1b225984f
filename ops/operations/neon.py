"""Operations on the branches of the environment's project on Neon: make and delete, restore, reset, protect, start."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from pyinfra.api.operation import operation

from ops import branches, clock, output, recorder, runner
from ops.clouds.neon import Project, moment
from ops.clouds.neon_resources import Branch
from ops.confirmation import confirmed
from ops.database import Neon
from ops.errors import ConfigurationError, OpsError
from ops.operations import branching
from ops.steps import Step, Steps, on_runner, plan


@operation()
@on_runner
def branch(
    branch: str,
    present: bool = True,
    parent: str | None = None,
    at: str | None = None,
    expires: str | None = None,
    endpoint: bool = True,
    confirm: str | None = None,
) -> Steps:
    """
    Have a branch, or have none of this name. No change where it is so already; one that is there, and was made of
    another branch or of another time, is refused.

    + branch: its name
    + present: whether it is to be there; what Neon needs (the default branch, roots, parents) and the environment's own
      branch are never deleted
    + parent: the branch that it is made of; none: the environment's own
    + at: the time or LSN of the parent's history; none: as the parent is now
    + expires: when Neon deletes it by itself: ``7d`` after it was made, or a time; ``never``; none: left as it is
    + endpoint: whether it needs something to run on, without which nobody can connect; what is there stays
    + confirm: the environment's name, where it is protected and a branch that is there is to be deleted, or to expire

    **Example:**

    .. code:: python

        neon.branch(name="A branch to look at", branch="before-the-sale", at="2026-11-21T10:00:00Z", expires="2d")
    """
    described = on_neon()
    project, name = Project(described), str(branch)
    there = project.branch(name)
    if not _bool("present", present):
        yield from branching.deleting(described, project, name, there, confirm)
        return
    of = project.require(str(parent) if parent else described.branch)
    serves = _bool("endpoint", endpoint)
    if there is None:
        yield from branching.making(project, name, of, at, expires, serves)
    else:
        branching.refuse_another(project, there, of, at)
        yield from branching.changing(described, project, there, expires, serves, confirm)


@operation()
@on_runner
def restore(
    branch: str, source: str, at: str | None = None, keep_as: str | None = None, confirm: str | None = None
) -> Steps:
    """
    Let a branch have the content of another, or its own of an earlier time. Its address stays; all its databases go
    along, and so do those who are connected. No change when there is a branch of the name ``keep_as`` already.

    + branch: its name
    + source: the branch whose content it gets; its own name: the content of an earlier time
    + at: the time or LSN of the source's history; none: as the source is now
    + keep_as: what the content is called that it has now, and its children go to; none: ``<branch>-before-<time>``
    + confirm: the environment's name, where it is protected

    **Example:**

    .. code:: python

        neon.restore(name="Undo", branch="main", source="main", at="2026-11-21T10:00:00Z", keep_as="imported")
    """
    project = Project(on_neon())
    target, origin = project.require(str(branch)), project.require(str(source))
    point = None if at is None else moment(str(at))
    if target.id == origin.id and point is None:
        raise ConfigurationError(f"{branch} is what it is already", "Say to which earlier time or LSN: at=…")
    if keep_as and (kept := project.branch(str(keep_as))):
        if kept.id in (target.id, origin.id) or (origin.id != target.id and target.parent != origin.id):
            raise ConfigurationError(
                f"there is a branch {kept.name} already, which is not what {branch} had before",
                "Name another: keep_as=…",
            )
        output.say(f"{branch} was restored already: what it had until then is {kept.name}")
        return
    confirmed(runner.environment(), confirm)
    yield from restoring(project, target, origin, point, None if keep_as is None else str(keep_as))


def restoring(
    project: Project,
    target: Branch,
    source: Branch,
    at: str | datetime | None = None,
    keep_as: str | None = None,
) -> Steps:
    """The steps of ``restore``.

    Args:
        project: of both.
        target: the branch that gets other content.
        source: whose.
        at: see ``restore``.
        keep_as: the name of the content until now; None: one that says when the branch was restored.
    """
    if target.protected and target.parent == source.id:
        raise ConfigurationError(
            f"{target.name} is a branch of {source.name} and protected, and Neon resets no branch that it protects",
            "First: neon.protect with protected=false",
        )
    as_of = "" if at is None else f" as of {branching.shown(at)}"
    stays = "; it expires no more" if source.expires and source.id != target.id else ""
    words = (
        f"Restore the branch {target.name} from {source.name}{as_of}{stays}; what it has now is kept as "
        f"{keep_as or branches.kept_name(target.name, '…')}, and who is connected is cut off"
    )

    def do() -> None:
        if stays:
            project.change(source, expires_at=None)  # Neon restores from no branch that is going to be deleted
        # The time after which this run began, by which the one that goes on with it knows.
        kept = keep_as or branches.kept_name(target.name, clock.stamp(clock.now()))
        try:
            project.restore(target, source, at, kept)
        except OpsError:
            if stays and source.expires and source.expires > clock.now():
                with suppress(OpsError):  # the first one is told
                    project.change(source, expires_at=source.expires)
            raise
        recorder.know(restored={"branch": target.name, "from": source.name}, kept=kept)
        output.say(f"what {target.name} had is kept as the branch {kept}")

    plan(words)
    yield Step(words, do)


@operation()
@on_runner
def reset(branch: str, confirm: str | None = None) -> Steps:
    """
    Let a branch have what its parent has now. What was written to it is gone, unless it has children: then it is kept
    for them as ``<branch>-before-<time>``. Always a change.

    + branch: its name
    + confirm: the environment's name, where it is protected

    **Example:**

    .. code:: python

        neon.reset(name="The preview as production is", branch="preview")
    """
    project = Project(on_neon())
    known = project.branches()
    target = project.require(str(branch))
    parent = next((one for one in known if one.id == target.parent), None)
    if parent is None:
        raise ConfigurationError(f"{branch} is a root, and has no parent to be reset to", "Restore it: neon.restore")
    if target.protected:
        raise ConfigurationError(
            f"Neon protects {branch}, and resets no branch that it protects", "First: neon.protect with protected=false"
        )
    confirmed(runner.environment(), confirm)
    has_children = any(one.parent == target.id for one in known)
    keep_as = branches.kept_name(target.name, clock.stamp(clock.now())) if has_children else None
    then = f"what it has now is kept as {keep_as}" if keep_as else "what was written to it is gone"
    words = f"Reset the branch {branch} to what {parent.name} has now; {then}"
    plan(words)
    yield Step(words, lambda: project.restore(target, parent, keep_as=keep_as))


@operation()
@on_runner
def protect(branch: str, protected: bool = True, confirm: str | None = None) -> Steps:
    """
    Have Neon protect a branch from being deleted and reset, or not. No change where it is so already.

    + branch: its name
    + protected: whether it is to be
    + confirm: the environment's name, where it is protected itself and the branch is to be no more

    **Example:**

    .. code:: python

        neon.protect(name="Protect production", branch="main")
    """
    wanted = _bool("protected", protected)
    project = Project(on_neon())
    there = project.require(str(branch))
    if there.protected is wanted:
        output.say(f"Neon {'protects' if wanted else 'does not protect'} {branch} already")
        return
    if wanted and there.expires:
        raise ConfigurationError(
            f"{branch} expires at {clock.iso(there.expires)}, and Neon protects no branch that expires",
            "First: neon.branch with expires=never",
        )
    if not wanted:
        confirmed(runner.environment(), confirm)
    words = f"{'Protect' if wanted else 'Protect no more'} the branch {branch}"
    plan(words)
    yield Step(words, lambda: project.change(there, protected=wanted))


@operation()
@on_runner
def endpoint(branch: str, active: bool = True, confirm: str | None = None) -> Steps:
    """
    Start what a branch runs on, or suspend it, which cuts off who is connected; the next who connects starts it again.
    No change where it is so already; a branch without gets one to be started.

    + branch: its name
    + active: whether it is to run
    + confirm: the environment's name, where it is protected and its own branch is to be suspended

    **Example:**

    .. code:: python

        neon.endpoint(name="Warm up the preview", branch="preview")
    """
    wanted, described = _bool("active", active), on_neon()
    project = Project(described)
    there = project.require(str(branch))
    found = next((one for one in project.endpoints(there) if one.kind == "read_write"), None)
    if found is None and wanted:
        words = f"Give the branch {branch} an endpoint"
        plan(words)
        yield Step(words, lambda: project.serve(there))
        return
    if found is None or found.state == ("active" if wanted else "idle"):
        output.say(f"{branch} is {found.state} already" if found else f"nothing runs on {branch}")
        return
    if not wanted and there.name == described.branch:
        confirmed(runner.environment(), confirm)
    words = f"{'Start' if wanted else 'Suspend'} {found.id}, which the branch {branch} runs on"
    plan(words)
    yield Step(words, lambda: project.start(found) if wanted else project.suspend(found))


def on_neon() -> Neon:
    """The database of the environment at hand.

    Raises:
        ConfigurationError: it is not on Neon.
    """
    here = runner.environment()
    if not isinstance(here.database, Neon):
        raise ConfigurationError(
            f"the database of {here.name} is not on Neon, as far as its inventory says",
            'Write database=Neon(project="…", branch="main", database="…", role="…", api_key=secret("NEON_API_KEY"))',
        )
    return here.database


def _bool(name: str, given: Any) -> bool:
    if not isinstance(given, bool):
        raise ConfigurationError(f"{name}={given} is neither true nor false", f"Write {name}=true, or {name}=false")
    return given
