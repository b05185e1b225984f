"""The steps by which a branch on Neon comes to be, comes to be as it is wanted, or goes."""

from __future__ import annotations

from datetime import datetime, timedelta

from ops import branches, clock, output, runner
from ops.clouds.neon import Project, moment
from ops.clouds.neon_resources import Branch
from ops.confirmation import confirmed
from ops.database import Neon
from ops.errors import ConfigurationError, ServiceError
from ops.steps import Step, Steps, plan

NEVER = "never"


def deleting(described: Neon, project: Project, name: str, there: Branch | None, confirm: str | None) -> Steps:
    """Delete a branch, unless something speaks against it.

    Args:
        described: the environment's database.
        project: of the branch.
        name: the branch's.
        there: the branch; None: there is none.
        confirm: see ``neon.branch``.
    """
    if there is None:
        output.say(f"there is no branch {name} already")
        return
    if why := needed(there, project.branches(), described.branch):
        raise ConfigurationError(f"the branch {name} cannot be deleted: {why}", "Look at deploys/branches.py")
    confirmed(runner.environment(), confirm)
    words = f"Delete the branch {name}, with all that is in it"
    plan(words)
    yield Step(words, lambda: project.delete(there))


def needed(branch: Branch, known: list[Branch], own: str) -> str:
    """Why a branch is not deleted, in words; empty: nothing speaks against it.

    Args:
        branch: which.
        known: all of its project.
        own: the name of the environment's.
    """
    children = [one.name for one in known if one.parent == branch.id]
    if branch.name == own:
        return "it is the branch of the environment itself"
    if branch.default:
        return "it is the project's default branch"
    if children:
        return f"it is the parent of {', '.join(children[:5])}"
    if branch.protected:
        return "Neon protects it"
    if branch.parent is None and branches.kept(branch.name) is None:
        return "it is a root"
    return ""


def making(project: Project, name: str, of: Branch, at: str | None, expires: str | None, endpoint: bool) -> Steps:
    """Make a branch of which there is none yet.

    Args:
        project: where.
        name: the branch's.
        of: its parent.
        at: see ``neon.branch``, as the others.
        expires: when it goes.
        endpoint: whether it has one.
    """
    point = None if at is None else moment(str(at))
    until = None if expires in (None, NEVER) else _expiry(str(expires), clock.now())
    words = f"Make the branch {name} of {of.name} as {'it is now' if point is None else f'of {shown(point)}'}"
    words += f", until {clock.iso(until)}" if until else ""
    words += "" if endpoint else ", with nothing that it runs on"
    plan(words)
    yield Step(words, lambda: project.make(name, of, point, until, endpoint))


def changing(
    described: Neon, project: Project, there: Branch, expires: str | None, endpoint: bool, confirm: str | None
) -> Steps:
    """Let a branch expire when it is to, and have what it runs on.

    Args:
        described: the environment's database.
        project: where.
        there: the branch.
        expires: see ``neon.branch``, as ``confirm``.
        endpoint: whether it is to have one.
        confirm: the environment's name.
    """
    if there.state == "init":
        raise ServiceError(
            f"the branch {there.name} is there, and Neon has not made it whole", "Delete it, or look at Neon's console"
        )
    serves = any(one.kind == "read_write" for one in project.endpoints(there))
    until = None if expires in (None, NEVER) else _expiry(str(expires), there.created)
    same = there.expires is until or (
        until is not None and there.expires is not None and abs(there.expires - until) <= timedelta(seconds=clock.SKEW)
    )
    if until and not same:
        if there.name == described.branch:
            raise ConfigurationError(
                f"{there.name} is the branch of {runner.environment().name} itself", "It never expires"
            )
        confirmed(runner.environment(), confirm)
    if expires is not None and not same:
        words = f"Let the branch {there.name} {f'expire at {clock.iso(until)}' if until else 'expire never'}"
        plan(words)
        yield Step(words, lambda: project.change(there, expires_at=until))
    if endpoint and not serves:
        words = f"Give the branch {there.name} an endpoint"
        plan(words)
        yield Step(words, lambda: project.serve(there))
    if (expires is None or same) and (serves or not endpoint):
        output.say(f"the branch {there.name} is there already, made at {clock.iso(there.created)}")


def refuse_another(project: Project, there: Branch, of: Branch, at: str | None) -> None:
    """A branch of the same name that holds something else is not taken for the one that is wanted."""
    if there.parent != of.id:
        parent = next((one.name for one in project.branches() if one.id == there.parent), None)
        raise ConfigurationError(
            f"there is a branch {there.name} already, {f'made of {parent}' if parent else 'a root'}, not of {of.name}",
            "Delete it first, or name another; or say parent=…",
        )
    point = None if at is None else moment(str(at))
    if point is not None and not _same(point, there):
        when = clock.iso(there.at) if there.at else there.lsn or "a time that Neon does not tell"
        raise ConfigurationError(
            f"there is a branch {there.name} already, of {of.name} as of {when}, not {shown(point)}",
            "Delete it first, or name another",
        )


def _same(point: str | datetime, there: Branch) -> bool:
    """Whether a branch was made of a point: Neon tells times by the second, and LSNs in capitals."""
    if isinstance(point, str):
        return there.lsn is not None and there.lsn.upper() == point.upper()
    return there.at is not None and abs(there.at - point) <= timedelta(seconds=1)


def _expiry(given: str, since: datetime) -> datetime:
    try:
        until = since + timedelta(seconds=clock.duration(given))
    except ConfigurationError:
        point = moment(given)
        if isinstance(point, str):
            raise
        until = point
    now = clock.now()
    if not now < until <= now + branches.LONGEST:
        raise ConfigurationError(
            f"expires={given} is {clock.iso(until)}", "Neon takes what is to come, and at most 30 days away; or never"
        )
    return until


def shown(point: str | datetime) -> str:
    """A point in a branch's history, in words."""
    return point if isinstance(point, str) else clock.iso(point)
