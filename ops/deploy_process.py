"""A deploy as a process of its own: its lines as they come, its time, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click

from ops.environment import root

_GRACE = 30.0
"""Seconds that a deploy and its workers have to clean up after Ctrl-C."""
_STOPS = (signal.SIGTERM, signal.SIGINT)


class Deploy:
    """Runs once.

    Args:
        command: the command line.
        variables: its environment.
        hear: is given each line that it prints.
    """

    def __init__(self, command: Sequence[str], variables: dict[str, str], hear: Callable[[str], object]) -> None:
        self._command = command
        self._variables = variables
        self._hear = hear
        self.code = 0

    def run(self, seconds: float) -> str | None:
        """Run it to its end, or until its time is over, or somebody stops this process.

        Args:
            seconds: its time.

        Returns:
            Why it failed, in words; None: it did not.
        """
        process = subprocess.Popen(
            self._command,
            env=self._variables,
            cwd=root(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a process group, so that all of it can be ended
        )
        listener = threading.Thread(target=self._listen, args=(process,), name="lines", daemon=True)
        listener.start()
        try:
            for each in _STOPS:
                signal.signal(each, _stop)
            code = process.wait(seconds)
            problem = _ended(code)
            self.code = code if code >= 0 else 128 - code
        except subprocess.TimeoutExpired:
            self.code, problem = 124, "it took too long, and was ended"
            _end(process)
        except _Stopped:
            self.code, problem = 143, "it was stopped"
            _end(process)
        listener.join(5)
        return problem

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._hear(click.unstyle(line).rstrip())


class _Stopped(BaseException):
    """Somebody wants this process to end."""


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    for each in _STOPS:  # what is told of it must not be cut off by another
        signal.signal(each, signal.SIG_IGN)
    raise _Stopped


def _ended(code: int) -> str | None:
    if code == 0:
        return None
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"


def _end(process: subprocess.Popen[str]) -> None:
    """Ctrl-C for all of it, upon which workers clean up; by force what is left of it then."""
    for number, grace in ((signal.SIGINT, _GRACE), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        until = time.monotonic() + grace
        while time.monotonic() < until:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
