"""The branches on Neon that migrations are rehearsed on, and gone back to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from ops import branches, clock
from ops.clouds.neon import Project
from ops.database import Neon, Postgres
from ops.errors import ConfigurationError, OpsError
from ops.worker.progress import say


def restore_point(neon: Neon, environment: str) -> str:
    """Make a branch of the database as it is now, and tell its name. Neon deletes it by itself when it expires.

    Nothing runs on it until somebody looks into it.

    Args:
        neon: the database.
        environment: the environment's name.

    Raises:
        OpsError: Neon refused.
    """
    project, now = Project(neon), clock.now()
    name = str(branches.Made(branches.RESTORE_POINT, environment, now))
    expires = branches.expiry(now, timedelta(seconds=clock.duration(neon.restore_points)))
    project.make(name, project.require(neon.branch), expires=expires, endpoint=False)
    say(f"the restore point on Neon is the branch {name}, until {clock.iso(expires)}")
    return name


@contextmanager
def rehearsal(neon: Neon, environment: str, database: Postgres) -> Iterator[Postgres]:
    """The database on a branch that is gone at the end of the block; what killed runs left is deleted first.

    The next run finds it by its name; where there is none, it expires.

    Args:
        neon: the database.
        environment: the environment's name, whose migrations nobody else is at.
        database: the real one, by its address.

    Raises:
        OpsError: Neon refused.
    """
    project, now = Project(neon), clock.now()
    own = project.require(neon.branch)
    for left in branches.of(environment, branches.REHEARSAL, project.branches()):
        say(f"deleting the branch {left.name}, which an earlier run left")
        project.delete(left)
    name = str(branches.Made(branches.REHEARSAL, environment, now))
    try:
        project.make(name, own, expires=now + branches.REHEARSED)
        yield elsewhere(neon, name, database)
    finally:
        _deleted(project, name)


def elsewhere(neon: Neon, branch: str, database: Postgres) -> Postgres:
    """The database on a branch, which is surely not the real one.

    Args:
        neon: the database.
        branch: the branch's name.
        database: the real one, by its address.

    Raises:
        ConfigurationError: it has the same address.
        OpsError: Neon did not tell the address.
    """
    found = neon.on(branch)
    if found.shares_server(database):
        raise ConfigurationError(
            f"Neon gives the branch {branch} the same address as {neon.branch}",
            "Nothing was done there. Look at its endpoints in Neon's console",
        )
    return found


def _deleted(project: Project, name: str) -> None:
    """It may not have come to be, and what is said of the rehearsal matters more than a branch that stays."""
    try:
        branch = project.branch(name)
        if branch is not None:
            project.delete(branch)
    except OpsError as error:
        say(f"the branch {name} was not deleted, and expires: {error.problem}")
