"""The runner: the host that data is moved from, and how to ask the worker on it."""

from __future__ import annotations

import getpass
import hashlib
import json
import socket
import sys
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec

from pyinfra import host, inventory, state
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import NoGroupError
from pyinfra.api.host import Host
from pyinfra.connectors.local import LocalConnector

from ops import output
from ops.clouds import google
from ops.environment import Environment, root
from ops.errors import ConfigurationError, OpsError, WorkerFailed
from ops.migrations import Migrations
from ops.secrets import revealed
from ops.steps import Step, Steps, guarded
from ops.worker import ANSWER, MARK

P = ParamSpec("P")


def environment() -> Environment:
    """The environment of the host at hand.

    Raises:
        ConfigurationError: the inventory names none.
    """
    found = host.data.get("environment")
    if not isinstance(found, Environment):
        raise ConfigurationError(
            f"no environment is known for the host {host.name}",
            'The inventory must hold environment = Environment(…) and runner = environment.group("@local")',
        )
    return found


def is_runner() -> bool:
    """Whether the host at hand is the one that moves data: the first of the group ``runner``.

    Raises:
        ConfigurationError: there is none, or ``--limit`` leaves it out.
    """
    return is_first_of("runner")


def is_first_of(group: str) -> bool:
    """Whether the host at hand is the first of a group, which acts for all of it.

    Raises:
        ConfigurationError: there is none, or ``--limit`` leaves it out.
    """
    try:
        first = inventory.get_group(group)[0]
    except (NoGroupError, IndexError):
        raise ConfigurationError(
            f"the inventory has no group {group}", f'Write: {group} = environment.group("@local")'
        ) from None
    if not state.is_host_in_limit(first):
        raise ConfigurationError(
            f"the {group} {first.name} is left out, so nothing can be done", f"Add --limit {first.name}"
        )
    return bool(host.name == first.name)


def workers() -> set[str]:
    """The groups whose first hosts run the worker: it moves data from one, and migrates where the code is."""
    migrations = environment().migrations
    return {"runner", *([migrations.hosts] if migrations else [])}


def request(verb: str, **arguments: Any) -> str:
    """The request for a verb: the part of the environment that it needs, secrets revealed, as one line of JSON.

    Raises:
        SecretMissing: a secret that this verb needs cannot be found.
    """
    here = environment()
    asked: dict[str, Any] = {
        "environment": here.name,
        "database_name": here.database.name(),
        "owner": f"{getpass.getuser()}@{socket.gethostname()}",
        "store": revealed(here.store),
        **arguments,
    }
    if verb in ("list", "prune"):
        asked["retention"] = here.retention.model_dump()
    if verb == "dump":
        here.database.parameters()  # refuses a malformed or pooled URL before anything is sent anywhere
        asked["database"] = revealed(here.database)
    if verb in ("migrate", "revert"):
        here.database.parameters()
        asked.update(database=revealed(here.database), migrations=revealed(_with_token(here.migrations)))
    if verb in ("drill", "migrate", "revert"):
        here.drill_server().parameters()
        asked.update(server=revealed(here.drill_server()), jobs=here.drill.jobs)
    return json.dumps(asked)


def _with_token(migrations: Migrations | None) -> Migrations | None:
    """Who is logged in to Google Cloud is so where pyinfra was typed, and not on the runner."""
    if migrations is None or migrations.job is None or migrations.job.token is not None:
        return migrations
    job = migrations.job.model_copy(update={"token": google.default_credentials()})
    return migrations.model_copy(update={"job": job})


def ask(verb: str, show: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run a verb on the host at hand and wait for its answer.

    Args:
        verb: one of ``ops.worker``'s.
        show: print its progress as it comes.
        arguments: of the request.

    Raises:
        OpsError: what the worker answered, or that it did not.
    """
    told = request(verb, **arguments)
    output.install()
    _, printed = host.run_shell_command(
        worker_command(host, verb), print_output=show or state.print_output, print_input=state.print_input, _stdin=told
    )
    answers = [line for line in printed.stdout_lines if line.startswith(ANSWER)]
    if not answers:
        raise _no_answer(printed.stderr_lines)
    answer: dict[str, Any] = json.loads(answers[-1])["answer"]
    if "error" in answer:
        raise OpsError.from_json(answer)
    return answer


def _no_answer(said: list[str]) -> WorkerFailed:
    last = next((line for line in reversed(said) if line.strip()), "it said nothing").removeprefix(MARK)
    if "not found" in last or "No such file" in last or "No module named" in last:
        return WorkerFailed(
            f"the runner {host.name} does not have this version of the software ({last.strip()})",
            f"Type: pyinfra {environment().name} deploys/runner.py",
        )
    return WorkerFailed(
        f"the worker on {host.name} was killed before it answered; its last words: {last.strip()}",
        "Run this again: what it left unfinished is swept away first",
    )


def worker_command(on: Host, verb: str) -> StringCommand:
    """The command line for a verb, with an environment that holds nothing but where things are."""
    clean = 'env -i HOME="$HOME" PATH="$PATH" TMPDIR="${TMPDIR:-/tmp}" LANG=C.UTF-8'
    if isinstance(on.connector, LocalConnector):
        return StringCommand(
            "cd", QuoteString(str(root())), "&& exec", clean, QuoteString(sys.executable), "-m ops.worker", verb
        )
    return StringCommand(f'exec {clean} "$HOME/{directory()}/bin/python" -m ops.worker', verb)


def directory() -> str:
    """Where this very version is installed on a remote runner, below the home directory."""
    return f".local/share/pyinfra-ops/{version()}"


@cache
def version() -> str:
    """A name for what is installed on a runner: it changes with every change of the worker."""
    digest = hashlib.sha256()
    for file in package():
        digest.update(f"{file.relative_to(root())}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def package() -> list[Path]:
    """The files that a remote runner needs."""
    here = Path(__file__).parent
    files = [*here.glob("*.py"), *(here / "worker").glob("*")]
    files += [file for part in ("stores", "engines", "clouds") for file in (here / part).glob("*.py")]
    return sorted(file for file in files if file.is_file())


class Work(Step):
    """A verb for the worker, as a command of pyinfra.

    Args:
        verb: one of ``ops.worker``'s.
        words: what it will do, for the plan and for the log.
        arguments: of the request.
    """

    def __init__(self, verb: str, words: str, **arguments: Any) -> None:
        super().__init__(words, lambda: ask(verb, show=True, **arguments))


def on_runner(step: Callable[P, Steps]) -> Callable[P, Steps]:
    """Let a step run on the runner only; what fails while it runs is that step's failure, not the end of the deploy."""

    @wraps(step)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Steps:
        if is_runner():
            yield from step(*args, **kwargs)

    return guarded(inner)
