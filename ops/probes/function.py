"""A function of the user's own: called in a thread of the system's, so that one that hangs holds up nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from types import TracebackType
from typing import Any

from ops.checks import Function, Outcome, Result
from ops.checks.result import unknown
from ops.errors import OpsError, printable
from ops.probes.around import Around

_WRITE = 'Write: return Result("pass", "what was found")'
_LONGEST = 300
"""Characters of a text that somebody else has written."""


def ask(check: Function, at: Around) -> Iterable[Result]:
    """What it returned, as results."""
    from gevent.threadpool import ThreadPool  # type: ignore[import-untyped]

    _thread_id()  # the hook is there before any thread is
    # One of its own: those that hang must not take the threads of the others, and of the look-ups of names.
    pool = ThreadPool(1)
    answer = pool.apply(_called, (check,))
    pool.kill()
    if isinstance(answer, OpsError):
        raise answer
    return answer  # type: ignore[no-any-return]


def _called(check: Function) -> list[Result] | OpsError:
    """In the other thread: nothing is raised, for gevent prints what is."""
    try:
        with _without_programs():
            return _results(check.call())
    except OpsError as error:
        return error
    except AssertionError as failure:
        said = printable(str(failure))[:_LONGEST] or f"an assertion does not hold at {_place(check, failure)}"
        return [Result(Outcome.FAIL, said)]
    except BaseException as error:  # who wrote it may raise anything; nobody knows what is in its text
        return [unknown(f"{type(error).__name__} at {_place(check, error)}", "Mend the function")]


def _results(returned: Any) -> list[Result]:
    if isinstance(returned, Result):
        return [_in_words(returned)]
    if returned is None:
        return [unknown("it returned nothing", _WRITE)]
    if isinstance(returned, str | bytes | dict) or not isinstance(returned, Iterable):
        return [unknown(f"it returned a {type(returned).__name__}", _WRITE)]
    found = list(returned)
    stranger = next((one for one in found if not isinstance(one, Result)), None)
    if stranger is not None:
        return [unknown(f"it returned a {type(stranger).__name__} among its results", _WRITE)]
    return [_in_words(one) for one in found] or [unknown("it returned no result", _WRITE)]


def _in_words(one: Result) -> Result:
    """Whatever was given for a text, as one line."""
    value, limit, hint, what, where = (
        printable(str(text))[:_LONGEST] for text in (one.value, one.limit, one.hint, one.what, one.where)
    )
    return replace(one, value=value, limit=limit, hint=hint, what=what, where=where)


def _place(check: Function, error: BaseException) -> str:
    """Where in the user's own file; a library's is no help to who wrote the function."""
    own = getattr(getattr(check.call, "__code__", None), "co_filename", None)
    trace: TracebackType | None = error.__traceback__
    places: list[tuple[str, int]] = []
    while trace:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    file, line = next((place for place in reversed(places) if place[0] == own), places[-1])
    return f"{file}:{line}"


_threads: set[int] = set()
"""Those of the system's in which no process may be begun."""


@contextmanager
def _without_programs() -> Iterator[None]:
    """In this thread nothing is forked: gevent sees the end of what its own thread has begun and of nothing else, and
    what another begins may stand still before it is a program, with the pipes of everybody in its hands.
    """
    here = _thread_id()()
    _threads.add(here)
    try:
        yield
    finally:
        _threads.discard(here)


@cache
def _thread_id() -> Callable[[], int]:
    """Tells the thread of the system's, not gevent's; and the hook that refuses is there from now on."""
    from gevent import monkey  # type: ignore[import-untyped]

    thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")

    def refuse(event: str, _: object) -> None:
        if event in ("os.fork", "os.forkpty") and thread_id() in _threads:
            raise OpsError("it starts a program, which a function cannot", 'Write it as Program(command="…")')

    sys.addaudithook(refuse)
    return thread_id
