"""Asking many checks at once, each of which has its own time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ops.checks.result import Result, unknown
from ops.errors import OpsError, place

GRACE = 1.0
"""Seconds that a check has beyond its own time to say itself what took so long."""
PATIENCE = 15.0
"""Seconds for which an interruption waits for checks that clean up."""


@dataclass(frozen=True)
class Question:
    """A check where it is asked.

    Args:
        check: its name.
        ask: asks it.
        timeout: seconds.
        where: the host; empty when there is none to be named.
    """

    check: str
    ask: Callable[[], Iterable[Result]]
    timeout: float
    where: str = ""


class _Asked:
    """A question that is being asked, in a thread that nobody waits for longer than its time."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._began = time.monotonic()
        self._over = threading.Event()
        self._results: list[Result] = []
        self._seconds = 0.0
        try:
            threading.Thread(target=self._run, name=question.check, daemon=True).start()
        except RuntimeError:  # the others are asked, and this one does not pass
            self._results = [unknown("no thread could be started to ask it", "Let the user have more: ulimit -u")]
            self._over.set()

    def _run(self) -> None:
        try:
            self._results = list(self._question.ask()) or [unknown("it answered nothing")]
        except OpsError as error:
            self._results = [unknown(error.problem, error.hint)]
        except (Exception, SystemExit) as error:  # ours, or of who wrote the check: nobody knows what is in its text
            self._results = [unknown(f"unexpected {type(error).__name__} at {place(error)}", "Mend the check")]
        finally:
            self._seconds = time.monotonic() - self._began
            self._over.set()

    def answer(self) -> list[Result]:
        """Wait until it is answered, or its time is over."""
        patience = self._question.timeout + GRACE
        if not self._over.wait(max(0.0, self._began + patience - time.monotonic())):
            seconds = time.monotonic() - self._began
            found = [unknown(f"no answer within {self._question.timeout:g} s", "Look why, or give it more: timeout=…")]
        else:
            found, seconds = self._results, self._seconds
        # What a worker answers for many checks has their names, and their seconds, already.
        return [
            replace(
                one,
                check=one.check or self._question.check,
                where=one.where or self._question.where,
                seconds=one.seconds or round(seconds, 3),
            )
            for one in found
        ]


def answers(questions: Sequence[Question]) -> list[list[Result]]:
    """Ask all at once; what each answered, in their order. One that hangs keeps the others from nothing."""
    asked = [_Asked(question) for question in questions]
    try:
        return [one.answer() for one in asked]
    except KeyboardInterrupt:
        interrupted.set()
        end = time.monotonic() + PATIENCE
        for over in list(_uninterrupted):
            over.wait(max(0.0, end - time.monotonic()))
        raise


interrupted = threading.Event()
"""Nobody waits for answers any more: a check that has made something makes nothing more, and cleans up."""
_uninterrupted: set[threading.Event] = set()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Around what is not to be cut off in its middle: threads of checks die with the process, but not before this."""
    over = threading.Event()
    _uninterrupted.add(over)
    try:
        yield
    finally:
        _uninterrupted.discard(over)
        over.set()
