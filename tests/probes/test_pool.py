"""Many checks at once: none waits for another, and none ends without a word."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterable

import pytest
from faulty_web import Handler, serving
from worker_request import by_worker

from ops.checks import Http, Outcome, Result
from ops.environment import root
from ops.errors import ServiceError
from ops.probes import pool
from ops.probes.pool import Question, answers

FAIL, UNKNOWN, PASS = Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS


def good() -> Iterable[Result]:
    yield Result(PASS, "as it must be")


def asked(ask: object, timeout: float = 5) -> Result:
    ((result,),) = answers([Question("one", ask, timeout)])  # type: ignore[arg-type]
    return result


def test_all_are_asked_at_the_same_time_and_answered_in_their_order() -> None:
    together = threading.Barrier(50)

    def meet(number: int) -> list[Result]:
        together.wait(timeout=10)
        return [Result(PASS, str(number)), Result(FAIL, str(number), what="more")]

    questions = [Question(f"check {number}", lambda number=number: meet(number), 10, "host") for number in range(50)]
    found = answers(questions)
    assert [(one.check, one.value, one.where) for each in found for one in each[:1]] == [
        (f"check {number}", str(number), "host") for number in range(50)
    ]
    assert found[7][1].name == "check 7: more"


def test_what_has_a_name_and_a_time_already_keeps_them() -> None:
    def worker() -> list[Result]:
        return [Result(PASS, check="shop", seconds=0.25, where="db-1"), Result(FAIL, check="site"), Result(PASS)]

    ((first, second, third),) = answers([Question("worker", worker, 5, "runner")])
    assert (first.check, first.seconds, first.where) == ("shop", 0.25, "db-1")
    assert (second.check, second.where, third.check) == ("site", "runner", "worker")


def test_one_that_hangs_delays_nothing_past_its_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "GRACE", 0.1)
    over = threading.Event()

    def hang() -> list[Result]:
        over.wait(30)
        return [Result(PASS)]

    began = time.monotonic()
    (hung,), (other,), (late,) = answers(
        [Question("hangs", hang, 0.3), Question("good", good, 20), Question("hangs too", hang, 0.4)]
    )
    assert 0.4 <= time.monotonic() - began < 5
    over.set()
    assert (hung.outcome, other.outcome, late.outcome) == (UNKNOWN, PASS, UNKNOWN)
    assert (hung.value, hung.check) == ("no answer within 0.3 s", "hangs")
    assert hung.seconds >= 0.3 and other.seconds < 0.3


def test_one_that_fails_in_any_way_is_unknown() -> None:
    def refused() -> list[Result]:
        raise ServiceError("it does not say", "Ask it")

    def broken() -> list[Result]:
        raise ValueError("postgres://me:secret@host/")

    def half() -> Iterable[Result]:
        yield Result(PASS)
        raise KeyError("secret")

    result = asked(refused)
    assert (result.outcome, result.value, result.hint) == (UNKNOWN, "it does not say", "Ask it")
    for ask in (broken, half):
        result = asked(ask)
        assert result.outcome is UNKNOWN
        assert result.value.startswith("unexpected ") and "test_pool.py:" in result.value
        assert "secret" not in result.value
    assert asked(list).value == "it answered nothing"


def test_one_that_ends_its_thread_is_unknown_at_once() -> None:
    result = asked(lambda: sys.exit(0), 60)
    assert result.outcome is UNKNOWN and result.value.startswith("unexpected SystemExit at ")
    assert result.seconds < 5


_CROWDED = """
import resource, threading
from ops.checks import Result
from ops.probes.pool import Question, answers
threading.stack_size(256 * 2**20)  # of address space, which ends after a few
resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
gate = threading.Event()
def ask():
    gate.wait(2)
    return [Result("pass")]
found = [one for (one,) in answers([Question(str(n), ask, 30) for n in range(20)])]
print(*sorted({f"{one.outcome}: {one.value}" for one in found}), sep="\\n")
"""


def test_where_no_thread_can_be_started_the_others_are_asked() -> None:
    done = subprocess.run([sys.executable, "-c", _CROWDED], cwd=root(), capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["pass: ", "unknown: no thread could be started to ask it"], done.stderr


def test_two_hundred_checks_take_no_longer_than_a_few_and_hold_their_limits() -> None:
    def slowly(handler: Handler) -> None:
        time.sleep(0.1)
        handler.answer(b"ok")

    with serving() as web:
        url = web.does("/", slowly)
        checks = [Http(url=url, name=f"check {number}", timeout=20) for number in range(200)]
        began = time.monotonic()
        results, _ = by_worker(*checks)
        seconds = time.monotonic() - began
    assert {one.outcome for (one,) in results} == {PASS}
    assert seconds < 10, "one after the other they take twenty"


def test_a_hanging_server_delays_the_worker_no_longer_than_its_timeout() -> None:
    with serving() as web:
        hanging = web.does("/hangs", lambda handler: time.sleep(20))
        quick = web.on("/quick")
        began = time.monotonic()
        ((hung,), (other,)), _ = by_worker(Http(url=hanging, timeout=1), Http(url=quick, timeout=20))
        assert time.monotonic() - began < 8
    assert hung.outcome is FAIL and hung.value.startswith("no whole answer in 1")
    assert other.outcome is PASS and other.seconds < 1
