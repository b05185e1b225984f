"""What an operator sees: progress as it comes, plans once, failures in red."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click
import pyinfra
from pyinfra import host, logger, state
from pyinfra.api.host import Host
from pyinfra.api.output import set_echo

from ops.errors import OpsError
from ops.worker import ANSWER, MARK

_RED = "\x1b[31m"
_said: set[tuple[str, str]] = set()
_interrupted = False
_attached: dict[str, object] = {}


def install() -> None:
    """Have pyinfra print a worker's progress as progress: not in red, and without the answer, which is for us.

    And let Ctrl-C end the run at once, as a failure: pyinfra itself waits for a remote program that runs, and then
    exits 0, on which a script would go on.
    """
    set_echo(_echo)
    if pyinfra.is_cli:
        signal.signal(signal.SIGINT, _interrupt)


def interrupted() -> bool:
    """Whether Ctrl-C ends this run."""
    return _interrupted


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    global _interrupted
    _interrupted = True
    click.echo("Interrupted: what was begun is finished or cleaned up where it runs; look how it is", err=True)
    if state.pool is not None:
        state.pool.kill(block=False)
    sys.exit(128 + number)


def _echo(message: Any = None, **how: Any) -> None:
    if isinstance(message, str):
        if ANSWER in message:
            return
        if MARK in message:
            message = f"    {message.replace(_RED + MARK, '').replace(MARK, '')}"
    click.echo(message, **how)


def say(words: str) -> None:
    """Print a line for the host at hand, once: operations run twice, to find changes and to make them."""
    if (host.name, words) not in _said:
        _said.add((host.name, words))
        host.log(words)


def note(words: str) -> None:
    """Print a line for the host at hand, as often as it is said."""
    host.log(words)


def warn(words: str) -> None:
    """Print a line that belongs to no host and ends nothing."""
    logger.warning(words)


def failure(on: Host, error: OpsError) -> None:
    """Print a failure."""
    on.log_styled(str(error), fg="red", log_func=logger.error)


def attach(name: str, value: object) -> None:
    """Put something into what ``--json`` prints of this run, beside what became of each operation.

    Args:
        name: its key.
        value: what JSON can hold.
    """
    from pyinfra_cli import prints

    if not _attached:
        # pyinfra has no place for what an operation answers.
        results = prints.build_results_json
        prints.build_results_json = lambda state: {**results(state), **_attached}
    _attached[name] = value


def table(text: str) -> None:
    """Print a table for the host at hand, once, without the host before each line."""
    if (host.name, text) not in _said:
        _said.add((host.name, text))
        for line in text.splitlines():
            logger.info(line.rstrip())
