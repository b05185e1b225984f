"""What was typed after ``pyinfra``, looked at before anything is done.

pyinfra itself goes on, and exits 0, when an environment does not exist, an option is misspelt, or no host is left.
A timer with such a typing mistake would be green for ever.
"""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from pyinfra import state

from ops.errors import ConfigurationError

_READ_BY_DEPLOY = re.compile(r"host\.data\.get\(\"(\w+)\"")
# What pyinfra's own connectors read.
_CONNECTORS = ("ssh_", "docker_", "chroot_", "_")


def check() -> None:
    """Refuse what cannot be meant; make ``--dry`` show its plan also beside ``-y``.

    Raises:
        ConfigurationError: one line.
    """
    typed = click.get_current_context().params
    _environment_exists(str(typed["inventory"]))
    deploys = [Path(name) for name in typed["operations"] if name.endswith(".py")]
    if all(deploy.is_file() for deploy in deploys) and deploys:
        _options_are_known(typed["data"], deploys)
        _somebody_can_answer(typed)
        click.get_current_context().call_on_close(_require_hosts)
    if typed["dry"]:
        state.check_for_changes = True


def _environment_exists(name: str) -> None:
    if Path(name).exists() or any(mark in name for mark in "@,:."):
        return  # a file, or hosts in one of pyinfra's other ways of writing them
    known = sorted(path.stem for path in Path("inventories").glob("*.py"))
    raise ConfigurationError(
        f"there is no environment {name}", f"{_suggested(name, known)}There are: {', '.join(known)}"
    )


def _options_are_known(options: list[str], deploys: list[Path]) -> None:
    known = sorted({key for deploy in deploys for key in _READ_BY_DEPLOY.findall(deploy.read_text())})
    for option in options:
        key, equals, _ = option.partition("=")
        if not equals:
            raise ConfigurationError(f"--data {option} has no value", f"Write --data {option}=…")
        if key not in known and not key.startswith(_CONNECTORS):
            names = " ".join(deploy.name for deploy in deploys)
            raise ConfigurationError(
                f"{names} has no option {key}",
                f"{_suggested(key, known)}Its options are: {', '.join(known) or 'none'}",
            )


def _somebody_can_answer(typed: dict[str, Any]) -> None:
    if not (typed["yes"] or typed["dry"] or typed["json_output"] or _only_shows(typed) or sys.stdin.isatty()):
        raise ConfigurationError("there is no terminal on which to ask before anything is done", "Add -y, or --dry")


def _require_hosts() -> None:
    """After the run: that it had somebody to run on."""
    if state.initialised and not any(state.is_host_in_limit(host) for host in state.inventory):
        click.echo(
            "--> error: no host was left to run on, so nothing was done. Look at --limit and the inventory", err=True
        )
        sys.exit(1)


def _only_shows(typed: dict[str, Any]) -> bool:
    return bool(typed["debug_operations"] or typed["debug_facts"])


def _suggested(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}? " if close else ""
