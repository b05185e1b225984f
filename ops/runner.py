"""The runner: the host that data is moved from, and how to ask the worker on it."""

from __future__ import annotations

import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pyinfra import host, inventory, state
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import NoGroupError
from pyinfra.api.host import Host
from pyinfra.connectors.local import LocalConnector

from ops import output
from ops.clouds import google
from ops.database import Neon, Postgres
from ops.environment import Environment, root
from ops.errors import ConfigurationError, HostUnreachable, OpsError, WorkerFailed
from ops.migrations import Migrations
from ops.owner import owner
from ops.secrets import Secret, revealed
from ops.storage import Directory
from ops.stores import Documents, open_store
from ops.stores.remote import RemoteDocuments
from ops.worker import ANSWER, MARK


def environment(of: Host | None = None) -> Environment:
    """The environment of a host; none: of the host at hand.

    Raises:
        ConfigurationError: the inventory names none.
    """
    one = host if of is None else of
    found = one.data.get("environment")
    if not isinstance(found, Environment):
        raise ConfigurationError(
            f"no environment is known for the host {one.name}",
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
    first = _first_of(group)
    if not state.is_host_in_limit(first):
        raise ConfigurationError(
            f"the {group} {first.name} is left out, so nothing can be done", f"Add --limit {first.name}"
        )
    return bool(host.name == first.name)


def _first_of(group: str) -> Host:
    try:
        return inventory.get_group(group)[0]
    except (NoGroupError, IndexError):
        raise ConfigurationError(
            f"the inventory has no group {group}", f'Write: {group} = environment.group("@local")'
        ) from None


def workers() -> set[str]:
    """The groups whose first hosts run the worker: it moves data from one, and migrates where the code is."""
    migrations = environment().migrations
    return {"runner", *([migrations.hosts] if migrations else [])}


def request(here: Environment, verb: str, **arguments: Any) -> str:
    """The request for a verb: the part of the environment that it needs, secrets revealed, as one line of JSON.

    Raises:
        SecretMissing: a secret that this verb needs cannot be found.
    """
    # Who verifies has seen which checks can be asked without the secrets that are missing; triage needs no store.
    missing = "missing" if verb in ("verify", "triage") else None
    asked: dict[str, Any] = {
        "environment": here.name,
        "database_name": "" if verb == "small" else _database_name(here, missing),
        "owner": owner(),
        "store": revealed(here.store, missing),
        **arguments,
    }
    looking = verb == "migrate" and arguments.get("look")  # rehearses nothing
    if verb in ("list", "prune", "verify"):
        asked["retention"] = here.retention.model_dump()
    if verb in ("dump", "loss", "beside", "swap", "triage", "terminate", "vacuum", "purge") or looking:
        asked["database"] = _connectable(here.database)
    if verb == "verify":
        asked["database"] = _connectable(here.database, missing)
    if verb in ("refresh", "classify", "advance", "forget"):
        asked["database"] = _connectable(here.database)
    if verb in ("refresh", "classify", "forget"):
        asked.update(refresh=revealed(here.refresh), jobs=here.drill.jobs)
    if verb == "advance":
        asked["migrations"] = here.migrations and revealed(here.migrations.model_copy(update={"job": None}))
    if verb == "branch":
        asked["database"] = _connectable(here.database)
    if verb in ("dump", "branch") or looking:
        asked["migrations"] = here.migrations and revealed(here.migrations.model_copy(update={"job": None}))
    if verb in ("migrate", "revert") and not looking:
        asked.update(database=_connectable(here.database), migrations=revealed(_with_token(here.migrations)))
    if verb in ("migrate", "revert", "branch") and not looking and isinstance(here.database, Neon):
        asked["neon"] = revealed(here.database)  # its branches are what is rehearsed on, and gone back to
    if verb == "beside":
        asked["jobs"] = here.drill.jobs
    if verb == "drill" or (verb in ("migrate", "revert") and not looking and not _on_a_branch(here)):
        asked.update(server=_connectable(here.drill_server()), jobs=here.drill.jobs)
    return json.dumps(asked)


def _on_a_branch(here: Environment) -> bool:
    """Whether migrations are rehearsed on a branch on Neon, and so need no server."""
    return isinstance(here.database, Neon) and here.migrations is not None and here.migrations.rehearse_on == "data"


def _connectable(database: Postgres, missing: str | None = None) -> Any:
    """What a connection needs, and no more; a malformed or pooled URL is refused before anything is sent anywhere."""
    try:
        plain = database.plain()
        plain.parameters()
    except OpsError:
        if missing is None:
            raise
        plain = Postgres(url=Secret("of the database", lambda: missing), database=database.database)
    return revealed(plain, missing)


def _database_name(here: Environment, missing: str | None) -> str:
    try:
        return here.database.name()
    except ConfigurationError:
        if missing is None:
            raise
        return missing


def _with_token(migrations: Migrations | None) -> Migrations | None:
    """Who is logged in to Google Cloud is so where pyinfra was typed, and not on the runner."""
    if migrations is None or migrations.job is None or migrations.job.token is not None:
        return migrations
    job = migrations.job.model_copy(update={"token": google.default_credentials()})
    return migrations.model_copy(update={"job": job})


def ask(verb: str, show: bool = False, on: Host | None = None, **arguments: Any) -> dict[str, Any]:
    """Run a verb on a host and wait for its answer.

    Args:
        verb: one of ``ops.worker``'s.
        show: print its progress as it comes.
        on: the host; none: the host at hand.
        arguments: of the request.

    Raises:
        OpsError: what the worker answered, or that it did not.
    """
    there = inventory.get_host(host.name) if on is None else on
    told = request(environment(there), verb, **arguments)
    output.install()
    _, printed = there.run_shell_command(
        worker_command(there, verb), print_output=show or state.print_output, print_input=state.print_input, _stdin=told
    )
    answers = [line for line in printed.stdout_lines if line.startswith(ANSWER)]
    if not answers:
        raise _no_answer(there, printed.stderr_lines)
    answer: dict[str, Any] = json.loads(answers[-1])["answer"]
    if "error" in answer:
        raise OpsError.from_json(answer)
    return answer


def _no_answer(there: Host, said: list[str]) -> WorkerFailed:
    last = next((line for line in reversed(said) if line.strip()), "it said nothing").removeprefix(MARK)
    if "not found" in last or "No such file" in last or "No module named" in last:
        return WorkerFailed(
            f"the runner {there.name} does not have this version of the software ({last.strip()})",
            f"Type: pyinfra {environment(there).name} deploys/runner.py",
        )
    return WorkerFailed(
        f"the worker on {there.name} was killed before it answered; its last words: {last.strip()}",
        "Run this again: what it left unfinished is swept away first",
    )


def documents() -> Documents:
    """Small objects of the environment's store, from here: a directory lies on the runner, where only the worker is.

    Raises:
        ConfigurationError: the inventory has no runner.
        HostUnreachable: it cannot be connected to.
    """
    described = environment().store
    if not isinstance(described, Directory) or isinstance((on := _first_of("runner")).connector, LocalConnector):
        return open_store(described)
    if not on.connected:  # --limit leaves it out
        on.connect(reason="for the store")
    if not on.connected:
        raise HostUnreachable(f"the runner {on.name}, where the store is, could not be reached", "Look at the host")
    return RemoteDocuments(f"{described.location} on {on.name}", lambda what: ask("small", on=on, small=what))


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
    parts = ("stores", "engines", "clouds", "checks", "probes", "worker/masking")
    files += [file for part in parts for file in (here / part).glob("*.py")]
    return sorted(file for file in files if file.is_file())
