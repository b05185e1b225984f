"""The place on the runner where jobs run: this project itself, or a copy of it on a remote host."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import secrets
import sys
import tarfile
from functools import cache
from pathlib import Path

from pyinfra import host
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.connectors.local import LocalConnector
from pyinfra.facts.server import Command
from pyinfra_cli.cli import cli

from ops import output, runner
from ops.environment import root
from ops.errors import ConfigurationError
from ops.facts.schedule import Found, Writable
from ops.operations import virtual_environment
from ops.schedule import Schedule
from ops.site import PROJECTS, Site
from ops.steps import Steps
from ops.storage import Directory


def of(described: Schedule) -> Site:
    """Where the jobs of the environment at hand run, without the names of their secrets."""
    here = runner.environment()
    writes = [here.store.path] if isinstance(here.store, Directory) else []
    writes += [described.metrics] if described.metrics else []
    local = isinstance(host.connector, LocalConnector)
    who = user(described)
    project = str(root()) if local else f"{PROJECTS}/{here.name}/{_version()}"
    return Site(
        environment=here.name,
        user=who,
        project=project,
        python=sys.executable if local else f"{project}/venv/bin/python",
        inventory=str(_inventory()) if local else str(_inside(_inventory())),
        here=None if local else host.name,
        of=identity(),
        home=str(host.get_fact(Command, command=f"getent passwd {who} | cut -d: -f6")),
        writes=(*writes, *described.writes),
    )


def identity() -> str:
    """Which database and store the environment at hand is about, in words."""
    here = runner.environment()
    return f"{here.database.name()}, backed up to {here.store.location}"


def user(described: Schedule) -> str:
    """Who the jobs run as: who connects, before any sudo.

    Raises:
        ConfigurationError: there is no such user.
    """
    if described.user is None:
        return str(host.get_fact(Command, command="id -un", _sudo=False))
    if not host.get_fact(Command, command=f"id -u {described.user} 2>/dev/null || true"):
        raise ConfigurationError(
            f"{host.name} has no user {described.user}", f"Type there: useradd -m {described.user}"
        )
    return described.user


def directories(one: Site) -> Steps:
    """What the jobs write to must be there: they see nothing else that they could make it in."""
    described = runner.environment().store
    if isinstance(described, Directory) and not host.get_fact(Found, patterns=[described.path]):
        yield StringCommand("install", "-d", "-m", "700", "-o", one.user, QuoteString(described.path))
    if not host.get_fact(Found, patterns=[one.locks]) and host.get_fact(Writable, user=one.user, directory=one.home):
        yield StringCommand("runuser", "-u", one.user, "--", "mkdir", "-p", QuoteString(one.locks))


def installed(one: Site, python: str) -> Steps:
    """Copy the project to a remote runner, unless this version of it is there.

    Args:
        one: where to.
        python: the interpreter there.
    """
    if one.here is None:
        output.say(f"The jobs run in {one.project}, from where this was typed")
        return
    parent = one.project.rpartition("/")[0]
    if host.get_fact(Found, patterns=[one.project]):
        output.say(f"This version is in {one.project} already")
        if host.get_fact(Command, command=f"ls -1dt {parent}/* | head -n 1") != one.project:
            yield StringCommand(f"touch {one.project}")  # the two newest stay
        return
    output.say(f"Install this version in {one.project}")
    # As the worker is installed: under a name of this run's own, and renamed when it is whole. The inventories may
    # hold what is nobody else's business.
    new = f"{one.project}.{secrets.token_hex(4)}"
    yield from virtual_environment.begun(python, one.project, new, "/venv")
    # Not as a file, which others could read for a moment on its way through sudo.
    yield StringCommand(f"base64 -d | tar -xzf - -C {new}", _stdin=_archive())
    yield from virtual_environment.filled(f"{new}/venv/bin/python", f"{new}/requirements.lock")
    yield StringCommand(
        f"{new}/venv/bin/python -m compileall -q {new}/ops {new}/venv/lib; "
        f"chmod 755 {PROJECTS} && chgrp -hR $(id -g {one.user}) {parent} && chmod -R u=rwX,g=rX,o= {parent} "
        f"&& mv -T {new} {one.project}"
    )
    # A run may be going on in the version before this one.
    yield StringCommand(f"ls -1dt {parent}/* | tail -n +3 | xargs -r rm -rf")


def _typed() -> Path:
    """The inventory as it was typed: operations run in threads that know nothing of the command line."""
    words = cli.make_context("pyinfra", sys.argv[1:], resilient_parsing=True).params
    return Path(os.path.normpath(Path.cwd() / str(words["inventory"])))


def _inventory() -> Path:
    """Below the project, or absolute."""
    typed = _typed()
    return typed.relative_to(root()) if typed.is_relative_to(root()) else typed


def _inside(inventory: Path) -> Path:
    """Where an inventory lies in a copy of the project."""
    return Path("inventories") / inventory.name if inventory.is_absolute() else inventory


@cache
def _version() -> str:
    digest = hashlib.sha256()
    for name, file in sorted(_files().items()):
        content = str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()
        digest.update(f"{name}\0".encode() + content)
    return digest.hexdigest()[:12]


def _files() -> dict[str, Path]:
    """What a job needs, by where it lies in the project."""
    top = root()
    found = [file for part in ("ops", "deploys", "inventories") for file in (top / part).rglob("*")]
    found += [file for file in top.iterdir() if file.is_symlink()]
    found += [top / name for name in ("config.py", "pyproject.toml", "requirements.lock")]
    named = {str(file.relative_to(top)): file for file in found if file.is_file() and "__pycache__" not in file.parts}
    return {**named, str(_inside(_inventory())): _typed()} if _inventory().is_absolute() else named


def _archive() -> str:
    """The project, as a tar file in base64."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, file in sorted(_files().items()):
            archive.add(file, name)
    return base64.encodebytes(content.getvalue()).decode()
