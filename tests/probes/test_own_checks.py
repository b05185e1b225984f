"""Checks that the user writes: functions, and commands on hosts."""

from __future__ import annotations

import functools
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra_command import CommandLine, failed
from surroundings import Hanging, Here, Lost, around, described

from ops import Function, Program, Result, probes
from ops.checks import Outcome
from ops.errors import HostUnreachable, SecretMissing
from ops.probes.bounded import Bounded
from ops.probes.pool import Question, answers
from ops.secrets import secret


def called(call: Callable[[], Any]) -> list[Result]:
    """What came of a function of the user's."""
    return probes.ask(Function(call=call), around(described()))


def run(command: str, timeout: float = 10) -> Result:
    """What came of a command of the user's, here."""
    (found,) = probes.ask(Program(command=command, timeout=timeout), Bounded(Here(), timeout))
    return found


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_a_function_returns_is_the_result(outcome: Outcome) -> None:
    given = Result(outcome, "3 GB", "≤ 2 GB", "Make room", what="cache", where="app-1")
    assert called(lambda: given) == [given]


def test_a_function_may_return_several() -> None:
    def each() -> Iterator[Result]:
        yield Result("pass", "there", what="one")
        yield Result("fail", "gone", what="two")

    assert [(one.what, one.outcome) for one in called(each)] == [("one", "pass"), ("two", "fail")]
    assert called(lambda: [Result("pass", "there")]) == [Result("pass", "there")]
    assert called(functools.partial(list, (Result("warn"),))) == [Result("warn")]


def test_what_was_given_for_a_text_is_one() -> None:
    (found,) = called(lambda: Result("pass", 3.5, Path("/srv"), "one\nline"))  # type: ignore[arg-type]
    assert (found.value, found.limit, found.hint) == ("3.5", "/srv", "one line")


def test_an_assertion_that_does_not_hold_fails_with_its_text() -> None:
    def said() -> Result:
        raise AssertionError("no\norders today")

    def silent() -> Result:
        raise AssertionError

    assert called(said) == [Result("fail", "no orders today")]
    (found,) = called(silent)
    assert found.outcome is Outcome.FAIL
    assert found.value == f"an assertion does not hold at {__file__}:{silent.__code__.co_firstlineno + 1}"


@pytest.mark.parametrize("kind", [ValueError, KeyError, SystemExit, KeyboardInterrupt])
def test_a_function_that_breaks_is_unknown_and_its_place_is_told(
    kind: type[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Result:
        json.loads("1", parse_int=other)
        return Result("pass")

    def other(_: str) -> int:
        raise kind("password=of-a-customer")

    (found,) = called(broken)
    assert found.outcome is Outcome.UNKNOWN
    assert found.value == f"{kind.__name__} at {__file__}:{other.__code__.co_firstlineno + 1}"
    assert found.hint == "Mend the function"
    assert "of-a-customer" not in str(found) + "".join(capfd.readouterr())


def test_an_outcome_that_there_is_not_is_unknown() -> None:
    (found,) = called(lambda: Result("passed"))
    assert found.outcome is Outcome.UNKNOWN and "ValueError at" in found.value


def test_where_a_library_breaks_the_users_own_line_is_told() -> None:
    def broken() -> Result:
        json.loads("{")
        return Result("pass")

    (found,) = called(broken)
    assert found.value == f"JSONDecodeError at {__file__}:{broken.__code__.co_firstlineno + 1}"


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "it returned nothing"),
        (True, "it returned a bool"),
        (0, "it returned a int"),
        ("pass", "it returned a str"),
        ({"outcome": "pass"}, "it returned a dict"),
        ([True], "it returned a bool among its results"),
        ([], "it returned no result"),
    ],
)
def test_what_is_no_result_does_not_pass(returned: object, said: str) -> None:
    (found,) = called(lambda: returned)
    assert (found.outcome, found.value) == (Outcome.UNKNOWN, said)
    assert "return Result(" in found.hint


def test_what_our_own_parts_say_to_a_function_is_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SecretMissing, match="NOWHERE_TO_BE_FOUND"):
        called(lambda: secret("NOWHERE_TO_BE_FOUND").reveal())


def test_a_command_passes_by_its_exit_code() -> None:
    assert run("echo first; echo 3 files; echo >&2 warned") == Result("pass", "3 files", "exit code 0")
    assert run("true") == Result("pass", "exit code 0", "exit code 0")


@pytest.mark.parametrize("code", [1, 2, 99, 125, 255])
def test_a_command_fails_by_its_exit_code_in_its_own_words(code: int) -> None:
    found = run(f"echo looking; echo 'the queue is stuck' >&2; exit {code}")
    assert (found.outcome, found.value) == (Outcome.FAIL, f"exit code {code}: the queue is stuck")
    assert (found.limit, bool(found.hint)) == ("exit code 0", True)
    assert run(f"exit {code}").value == f"exit code {code}"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/etc/passwd", "it cannot be executed"),
        ("no-such-program --at-all", "it was not found"),
        ("kill -9 $$", "it was ended by SIGKILL"),
        ("""sh -c 'kill -SEGV $$'; exit $?""", "it was ended by SIGSEGV"),
    ],
)
def test_a_command_that_could_not_be_run_to_its_end_is_unknown(command: str, said: str) -> None:
    found = run(command)
    assert found.outcome is Outcome.UNKNOWN and found.value.startswith(said), found
    assert found.hint


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("code", [0, 1])
def test_the_last_line_may_say_what_came_of_it(outcome: Outcome, code: int) -> None:
    said = json.dumps({"outcome": outcome, "value": 3, "limit": "≤ 2", "hint": "Look", "what": "cache", "more": []})
    found = run(f"echo looking; echo '{said}'; echo; exit {code}")
    if outcome is Outcome.PASS and code:
        assert found.outcome is Outcome.UNKNOWN and "says pass, and ends with exit code 1" in found.value
    else:
        assert found == Result(outcome, "3", "≤ 2", "Look", "cache")


def test_an_outcome_that_a_command_invents_is_unknown() -> None:
    found = run("""echo '{"outcome": "ok"}'""")
    assert (found.outcome, found.value) == (Outcome.UNKNOWN, "its outcome is 'ok'")
    assert "fail, unknown, warn, pass" in found.hint
    assert run("""echo '{"outcome": ["pass"]}'""").outcome is Outcome.UNKNOWN
    assert run("""echo '{"other": "pass"}'""").outcome is Outcome.PASS, "by its exit code"
    assert run("""echo '{"outcome": "fail"}'; echo done""").outcome is Outcome.PASS, "it is not the last line"


def test_a_command_that_hangs_is_unknown_and_goes_on_nowhere() -> None:
    with pytest.raises(HostUnreachable, match="no answer within 1 s"):
        run("sleep 61.25", timeout=0.5)
    assert subprocess.run(["pgrep", "-f", "^sleep 61.25"], capture_output=True).stdout == b""


def test_a_host_that_does_not_answer_is_unknown() -> None:
    check = Program(command="true", timeout=1, hosts="app")
    asked = [
        Question("mine", lambda on=on: probes.ask(check, Bounded(on, 1)), 1, on.host)
        for on in (Lost("a"), Hanging("b"))
    ]
    lost, hanging = (found for (found,) in answers(asked))
    assert (lost.outcome, lost.where, lost.value) == ("unknown", "a", "the connection to a broke")
    assert (hanging.outcome, hanging.where) == ("unknown", "b")


OWN = """
import ctypes, subprocess, time, urllib.request
from ops import Directory, Environment, Function, Postgres, Program, Result

def hangs_in_c():
    ctypes.CDLL(None).sleep(60)
    return Result("pass", "it woke up")

def waits():
    time.sleep(0.3)
    return Result("pass", "waited")

def starts_a_program():
    return Result("pass", subprocess.run(["echo", "printed"], capture_output=True, text=True).stdout)

environment = Environment(
    name="test", database=Postgres(host="127.0.0.1", database="none"), store=Directory(path="/nowhere/backups"),
    checks=[
        *(Function(call=hangs_in_c, name=f"hangs {number}", timeout=2) for number in range(12)),
        waits,
        starts_a_program,
        Program(name="printed", command="echo printed", hosts="app"),
        Program(name="slow", command="sleep 59.75", timeout=1),
    ],
)
runner = environment.group("@local")
app = environment.group("@local")
"""


def test_functions_that_hang_in_c_delay_nothing_past_their_time(tmp_path: Path) -> None:
    """On the real command line, where all that is Python's own waits for others; but C does not."""
    line = CommandLine(tmp_path)
    line.inventory.write_text(OWN)
    began = time.monotonic()
    done = line.run("deploys/verify.py", "--data", f"report={tmp_path}/report.json", timeout=60)
    took = time.monotonic() - began
    said = failed(done)
    results = json.loads((tmp_path / "report.json").read_text())["checks"]
    found = {one["check"]: one for one in results}
    hanging = [found.pop(f"hangs {number}") for number in range(12)]
    assert {(one["outcome"], one["value"]) for one in hanging} == {("unknown", "no answer within 2 s")}
    assert all(2 <= one["seconds"] < 10 for one in hanging)
    assert {name: (one["outcome"], one["value"]) for name, one in found.items()} == {
        "waits": ("pass", "waited"),
        "starts a program": ("unknown", "it starts a program, which a function cannot"),
        "printed": ("pass", "printed"),
        "slow": ("unknown", "no answer within 1 s"),
    }
    assert "hangs 0" in said
    assert took < 40, f"the run ended after {took:.1f} s"
