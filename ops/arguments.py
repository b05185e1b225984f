"""What was typed after ``pyinfra``, looked at before anything is done.

pyinfra itself goes on, and exits 0, when an environment does not exist, an option is misspelt, or no host is left.
A timer with such a typing mistake would be green for ever.
"""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
import pyinfra
from pyinfra import state
from pyinfra.api.state import StateStage

from ops.errors import ConfigurationError

_READ_BY_DEPLOY = re.compile(r"host\.data\.get\(\"(\w+)\"")
# What pyinfra's own connectors read.
_CONNECTORS = ("ssh_", "docker_", "chroot_", "_")
# What every deploy takes: why it is run, for its record.
_EVERYWHERE = ("reason",)
_SECRET = re.compile(r"password|passwd|secret|token|key|credential|dsn|url", re.IGNORECASE)


@dataclass(frozen=True)
class Typed:
    """What was typed, as a record shows it.

    Args:
        deploy: the names of the deploy files, or of the operation.
        data: the options. A value whose name sounds like a secret is left out, and so is what connectors read.
        reason: why, as ``--data reason=…`` says.
    """

    deploy: str
    data: dict[str, str]
    reason: str | None


def typed() -> Typed:
    """What was typed, parsed once more: operations run in threads that know nothing of the command line."""
    if not pyinfra.is_cli:
        return Typed("pyinfra", {}, None)
    from pyinfra_cli.cli import cli

    words = cli.make_context("pyinfra", sys.argv[1:], resilient_parsing=True).params
    first, *others = [str(word) for word in words["operations"]]
    options = list(words["data"])
    if first.endswith(".py"):
        deploy = "-".join(Path(name).stem for name in (first, *others))
    else:
        deploy = ".".join(first.split(".")[-2:])
        options += others if "." in first else []
    given = dict(option.partition("=")[::2] for option in options if "=" in option)
    shown = {
        name: "***" if _SECRET.search(name) else value
        for name, value in given.items()
        if not name.startswith(_CONNECTORS)
    }
    return Typed(re.sub(r"[^A-Za-z0-9_.-]", "-", deploy), shown, shown.pop("reason", None))


def command(deploy: str | None = None, **data: str | None) -> str:
    """What is to be typed next on the same environment, and the same hosts of it.

    Args:
        deploy: such as ``deploys/rollback.py``; none: what was typed, with its options, without any secret.
        data: options of the deploy; those that are None are left out.
    """
    from pyinfra_cli.cli import cli

    words = cli.make_context("pyinfra", sys.argv[1:], resilient_parsing=True).params
    said = typed()
    if deploy is None:
        data = {**said.data, "reason": said.reason}
    given = {name: value for name, value in data.items() if value}
    options = [word for name, value in given.items() for word in ("--data", f"{name}={value}")]
    options += [word for part in ("limit", "exclude") for hosts in words[part] for word in (f"--{part}", str(hosts))]
    deploys = map(str, words["operations"]) if deploy is None else [deploy]
    return shlex.join(["pyinfra", str(words["inventory"]), *deploys, *options])


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
        _decline_is_no_success()
        if typed["json_output"]:
            click.get_current_context().call_on_close(_print_json_of_failure)
    if typed["dry"]:
        state.check_for_changes = True


def _environment_exists(name: str) -> None:
    if Path(name).exists() or any(mark in name for mark in "@,:."):
        return  # a file, or hosts in one of pyinfra's other ways of writing them
    files = sorted(path.stem for path in Path("inventories").glob("*.py"))
    if name in files:
        file = f"inventories/{name}.py"
        raise ConfigurationError(f"there is no {name} here", f"Type pyinfra {file} …, or once: ln -s {file} {name}")
    known = [one for one in files if Path(one).exists()] or files
    raise ConfigurationError(
        f"there is no environment {name}", f"{_suggested(name, known)}There are: {', '.join(known)}"
    )


def _options_are_known(options: list[str], deploys: list[Path]) -> None:
    read = {key for deploy in deploys for key in _READ_BY_DEPLOY.findall(deploy.read_text())}
    known = sorted({*read, *_EVERYWHERE})
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
    if typed["json_output"] and not (typed["yes"] or typed["dry"] or _only_shows(typed)):
        raise ConfigurationError("--json asks nobody, so nothing would be done", "Add -y, or --dry for the plan alone")
    if not (typed["yes"] or typed["dry"] or typed["json_output"] or _only_shows(typed) or sys.stdin.isatty()):
        raise ConfigurationError("there is no terminal on which to ask before anything is done", "Add -y, or --dry")


def _decline_is_no_success() -> None:
    """Whoever types y where pyinfra waits for Enter has nothing done, and must not take it for success."""
    from pyinfra_cli import cli

    ask = cli._do_confirm

    def asked(words: str) -> bool:
        agreed = ask(words)
        if not agreed:
            click.echo("--> nothing was done: press Enter alone to go on, Ctrl-C not to", err=True)
            click.get_current_context().call_on_close(lambda: sys.exit(1))
        return bool(agreed)

    cli._do_confirm = asked


def _require_hosts() -> None:
    """After the run: that it had somebody to run on."""
    if state.initialised and not any(state.is_host_in_limit(host) for host in state.inventory):
        click.echo(
            "--> error: no host was left to run on, so nothing was done. Look at --limit and the inventory", err=True
        )
        sys.exit(1)


def _print_json_of_failure() -> None:
    """After a run that ended early: what became of each operation, which pyinfra prints only when hosts are left."""
    from pyinfra_cli.prints import print_run_json

    if state.initialised and state.current_stage is StateStage.Execute:
        print_run_json(state, dry=False)


def _only_shows(typed: dict[str, Any]) -> bool:
    return bool(typed["debug_operations"] or typed["debug_facts"])


def _suggested(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}? " if close else ""
