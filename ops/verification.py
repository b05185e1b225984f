"""Ask the checks of an environment, wherever each is asked: all at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from itertools import chain
from typing import Any

from pyinfra import inventory, state
from pyinfra.api.exceptions import NoGroupError
from pyinfra.api.host import Host

from ops import probes, runner
from ops.checks import Backups, Check, Database, MigrationsCurrent, ObjectStore, Outcome, Place, Result, ServicesRunning
from ops.checks.base import OnEachHost
from ops.checks.result import unknown
from ops.environment import Environment
from ops.errors import ConfigurationError, HostUnreachable, OpsError
from ops.hosts import LostShell, SharedShell
from ops.platforms.shell import Shell
from ops.probes.around import Around
from ops.probes.bounded import Bounded
from ops.probes.pool import Question, answers
from ops.secrets import hidden, revealed

STARTING = 30.0
"""Seconds that the worker may need beside its checks: to be started over a slow connection, and to answer."""

_WORKER = "worker:"
"""What no check can be called."""


def checks(environment: Environment, only: str | int | float | None = None) -> list[Check]:
    """The checks of an environment; where it declares none, those that hold for every environment.

    Args:
        environment: whose.
        only: the name of one, of which pyinfra makes a number if it looks like one; none: all.

    Raises:
        ConfigurationError: there is none of that name.
    """
    declared = environment.checks
    known: list[Check] = list(_default(environment) if declared is None else declared)
    if only is None:
        return known
    name = str(only)
    found = [one for one in known if one.title == name]
    if not found:
        titles = [one.title for one in known]
        close = get_close_matches(name, titles, n=1)
        raise ConfigurationError(
            f"there is no check {name} in {environment.name}",
            f"{f'Did you mean {close[0]}? ' if close else ''}There are: {', '.join(titles) or 'none'}",
        )
    return found


def _default(environment: Environment) -> list[Check]:
    found: list[Check] = [ServicesRunning()] if environment.services else []
    found += [Database()]
    found += [MigrationsCurrent()] if environment.migrations else []
    return [*found, Backups(), ObjectStore()]


def verify(environment: Environment, asked: Sequence[Check]) -> list[Result]:
    """Ask checks, all at once; their results, without a secret in any text.

    Args:
        environment: whose.
        asked: which.
    """
    from_runner = [one for one in asked if one.place is Place.RUNNER]
    sendable, results = _sendable(from_runner, environment)
    questions = [_from_here(one, environment) for one in asked if one.place is Place.HERE]
    questions += chain.from_iterable(_on_hosts(one) for one in asked if isinstance(one, OnEachHost))
    if sendable:
        # One call of the worker asks them all; it has the time of the slowest.
        slowest = max(one.timeout for one in sendable)
        questions.append(Question(_WORKER, partial(_by_worker, sendable), slowest + STARTING))
    found = answers(questions)
    if sendable:
        results += _unpacked(found.pop(), sendable)
    results += chain.from_iterable(found)
    return [Result.from_json(one) for one in hidden([one.to_json() for one in results], environment)]


def _sendable(asked: Sequence[Check], environment: Environment) -> tuple[list[Check], list[Result]]:
    """Those whose secrets are there, and of the others why they cannot be asked."""
    there: list[Check] = []
    missing: list[Result] = []
    for check in asked:
        try:
            revealed(check)
            if "database" in check.needs:
                environment.database.parameters()
            if "store" in check.needs:
                revealed(environment.store)
            there.append(check)
        except OpsError as error:
            missing.append(unknown(error.problem, error.hint, check=check.title))
    return there, missing


def _by_worker(asked: Sequence[Check]) -> list[Result]:
    on = _group("runner")[0]
    if not on.connected:
        raise HostUnreachable(f"the runner {on.name} could not be reached", "Look at the host")
    answer = runner.ask("verify", on=on, checks=[revealed(one) for one in asked])
    return [Result.from_json(one) for one in chain.from_iterable(answer["results"])]


def _unpacked(found: list[Result], asked: Sequence[Check]) -> list[Result]:
    """The worker's results have the names of their checks; when it did not answer, none of its checks is known."""
    failed = next((one for one in found if one.check == _WORKER), None)
    return found if failed is None else [replace(failed, check=one.title) for one in asked]


def _from_here(check: Check, environment: Environment) -> Question:
    around = Around(environment, shells, _ask_worker)
    return Question(check.title, partial(probes.ask, check, around), check.timeout)


def _on_hosts(check: OnEachHost) -> list[Question]:
    hosts = _group(check.hosts)
    if not hosts:
        return [Question(check.title, partial(_left_out, check.hosts), check.timeout)]
    return [Question(check.title, _asking(check, on), check.timeout, on.name) for on in hosts]


def _left_out(group: str) -> list[Result]:
    """Whoever limits a run knows; yet what nobody has looked at is not passed over in silence."""
    return [Result(Outcome.WARN, "not asked", hint=f"--limit leaves out every host of {group}")]


def _asking(check: Check, on: Host) -> Callable[[], list[Result]]:
    def ask() -> list[Result]:
        shell = SharedShell(on) if on.connected else LostShell(on.name)
        return probes.ask(check, Bounded(shell, check.timeout))

    return ask


def shells(group: str) -> list[Shell]:
    """Those on the hosts of a group.

    Raises:
        ConfigurationError: there is no such group.
    """
    return [SharedShell(one) if one.connected else LostShell(one.name) for one in _group(group)]


def _ask_worker(group: str, verb: str, **arguments: Any) -> dict[str, Any]:
    return runner.ask(verb, on=_group(group)[0], **arguments)


def _group(name: str) -> list[Host]:
    """The hosts of a group, but those that ``--limit`` leaves out."""
    try:
        return [one for one in inventory.get_group(name) if state.is_host_in_limit(one)]
    except NoGroupError:
        raise ConfigurationError(
            f"the inventory has no group {name}", f'Write: {name} = environment.group("app-1.example.com")'
        ) from None
