"""The checks of an environment as typed: exit codes, tables, JSON, reports, and a watch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command_line import Typed
from junitparser import Error, Failure, JUnitXml

from ops.environment import root

INVENTORY = """
from ops import Directory, Environment, Postgres, Program, Result, Trigger, Watch, secret

def odd():
    return Result("fail", "bell \\a, escape \\x1b[31m, \\U0001F600, \\ud800 | <b>&", "≥ 1", "Call | somebody")

def warns():
    return Result("warn", "nearly full", "≤ 80 %", "Make room")

def raises():
    raise ValueError(environment.database.url.reveal())

def quotes():
    url = environment.database.url.reveal()
    return Result("fail", "cannot log in: " + url, hint="psql " + url)

environment = Environment(
    name="test",
    database=Postgres(url=secret("TEST_URL")),
    store=Directory(path="{place}"),
    checks=[{checks}],
    {more}
)
runner = environment.group("@local")
{groups}
"""
GOOD = 'Program(name="good", command="true")'


class Verified:
    """Types ``verify.py`` on an environment without a database that is asked."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.inventory = place / "test.py"

    def describe(self, *checks: str, more: str = "", groups: str = "") -> None:
        text = INVENTORY.format(place=self.place, checks=", ".join(checks), more=more, groups=groups)
        self.inventory.write_text(text)

    def type(self, *words: str, data: tuple[str, ...] = (), code: int = 0) -> Typed:
        options = [word for one in data for word in ("--data", one)]
        done = subprocess.run(
            [Path(sys.executable).with_name("pyinfra"), "-y", *words, self.inventory, "deploys/verify.py", *options],
            cwd=root(),
            env={**os.environ, "TEST_URL": "postgresql://shop:pw-secret-1@127.0.0.1:1/shop"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert "pw-secret-1" not in done.stdout + done.stderr
        return Typed(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def verified(tmp_path: Path) -> Verified:
    return Verified(tmp_path)


@pytest.mark.parametrize(
    ("check", "code", "row"),
    [
        (GOOD, 0, r"pass +good \(@local\)"),
        ("warns", 0, r"WARN +warns +nearly full"),
        ('Program(name="bad", command="exit 3")', 1, r"FAIL +bad \(@local\) +exit code 3"),
        ('Program(name="lost", command="kill -9 $$")', 1, r"UNKNOWN +lost \(@local\) +it was ended by SIGKILL"),
        ("raises", 1, r"UNKNOWN +raises +ValueError at"),
        ("quotes", 1, r"FAIL +quotes +cannot log in: \*\*\*"),
    ],
)
def test_only_what_fails_or_is_unknown_is_a_failure(verified: Verified, check: str, code: int, row: str) -> None:
    verified.describe(check)
    assert re.search(row, verified.type(code=code).stderr)


def test_json_has_every_field_of_every_result_and_nothing_else_is_on_standard_output(verified: Verified) -> None:
    verified.describe(GOOD, "odd")
    results = json.loads(verified.type("--json", code=1).stdout)["results"]
    assert [one["error"] for one in results["operations"]] == [["@local"]]
    by_name = {one["check"]: one for one in results["checks"]}
    seconds = [one.pop("seconds") for one in by_name.values()]
    assert all(0 < one < 60 for one in seconds)
    assert by_name["good"] == {
        "outcome": "pass", "value": "exit code 0", "limit": "exit code 0", "hint": "", "what": "", "check": "good",
        "where": "@local",
    }  # fmt: skip
    assert by_name["odd"]["value"] == "bell ?, escape ?[31m, \U0001f600, ? | <b>&"


def test_a_plan_alone_asks_nothing_and_is_json_as_well(verified: Verified) -> None:
    verified.describe(f'Program(name="marks", command="touch {verified.place}/asked")')
    assert json.loads(verified.type("--dry", "--json").stdout)["results"] is None
    assert not (verified.place / "asked").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("check=goood", "there is no check goood in test. Did you mean good? There are: good, 404"),
        ("check=403", "there is no check 403 in test. Did you mean 404?"),
        ("check=true", "there is no check True in test"),
        ("report=5", "report=5 is of no kind that is known"),
        ("report=checks.txt", "Let it end with .xml, .md or .json"),
        ("report=/nowhere/checks.xml", "there is no directory /nowhere for the report"),
        (f"report={'a' * 300}/checks.xml", "there is no directory aaa"),
        ("report=/proc/checks.xml", "/proc/checks.xml cannot be written"),
        ("watch=10", "10 is no duration. Write 90s, 15m, 20h, 7d or 2w"),
    ],
)
def test_what_was_mistyped_is_one_line(verified: Verified, data: str, said: str) -> None:
    verified.describe(GOOD, 'Program(name="404", command="true")')
    assert said in verified.type(data=(data,), code=1).stderr


def test_one_check_may_be_asked_alone_also_one_whose_name_looks_like_a_number(verified: Verified) -> None:
    verified.describe("odd", 'Program(name="404", command="true")')
    said = verified.type(data=("check=404",)).stderr
    assert "1 pass" in said
    assert "odd" not in said


def test_no_checks_are_said_to_be_none(verified: Verified) -> None:
    verified.describe()
    assert "checks of test: there is none" in verified.type().stderr


def test_what_the_limit_leaves_out_is_not_passed_over(verified: Verified) -> None:
    group = 'app = environment.group(("gone", {"ssh_hostname": "127.0.0.1", "ssh_port": 1}))'
    verified.describe('Program(name="elsewhere", command="true", hosts="app")', groups=group)
    said = verified.type("--limit", "@local").stderr
    assert re.search(r"WARN +elsewhere +not asked", said)
    assert "--limit leaves out every host of app" in said
    assert re.search(r"UNKNOWN +elsewhere \(gone\) +gone could not be reached", verified.type(code=1).stderr)


def test_a_report_for_pipelines_tells_failures_from_what_is_unknown(verified: Verified) -> None:
    verified.describe(GOOD, "odd", "warns", "raises", "quotes")
    report = verified.place / "checks.xml"
    verified.type(data=(f"report={report}",), code=1)
    (suite,) = JUnitXml.fromfile(str(report))
    cases = {case.name: case for case in suite}
    assert set(cases) == {"good (@local)", "odd", "warns", "raises", "quotes"}
    assert (suite.tests, suite.failures, suite.errors) == (5, 2, 1)
    (failure,) = cases["odd"].result
    assert isinstance(failure, Failure)
    assert failure.message == "bell ?, escape ?[31m, \U0001f600, ? | <b>& (must be ≥ 1)"
    assert cases["odd"].system_err == "Call | somebody"
    assert isinstance(cases["raises"].result[0], Error)
    assert cases["warns"].is_passed
    assert cases["warns"].system_out == "warn: nearly full (must be ≤ 80 %)"
    assert "pw-secret-1" not in report.read_text()


def test_a_report_for_people_and_one_for_programs(verified: Verified) -> None:
    verified.describe(GOOD, "odd")
    people, programs = verified.place / "checks.md", verified.place / "checks.json"
    verified.type(data=(f"report={people}",), code=1)
    rows = [line for line in people.read_text().splitlines() if line.startswith("| fail")]
    assert len(rows) == 1
    assert "Call \\| somebody" in rows[0]
    verified.type(data=(f"report={programs}",), code=1)
    document = json.loads(programs.read_text())
    assert document["environment"] == "test"
    assert {one["outcome"] for one in document["checks"]} == {"pass", "fail"}


def watched(verified: Verified, lasting: str) -> Path:
    """An environment whose check fails while a file is there."""
    wrong = verified.place / "wrong"
    trigger = f'watch=Watch(every="1s", triggers=[Trigger(check="errors", lasting="{lasting}")]),'
    verified.describe(f'Program(name="errors", command="test ! -e {wrong}")', GOOD, more=trigger)
    return wrong


def test_a_watch_ends_with_the_trigger_within_one_round_of_its_time(verified: Verified) -> None:
    wrong = watched(verified, "3s")
    injected: list[float] = []

    def inject() -> None:
        time.sleep(6)
        injected.append(time.monotonic())
        wrong.touch()

    injecting = threading.Thread(target=inject)
    injecting.start()
    said = verified.type("--json", data=("watch=100s",), code=1)
    ended = time.monotonic()
    injecting.join()
    assert "the trigger errors for 3s holds since 3s: errors (@local) fail: exit code 1" in said.stderr
    # A round of a second until it is seen, and generous seconds for the end of the command.
    assert 3 <= ended - injected[0] < 3 + 1 + 4
    assert {one["check"]: one["outcome"] for one in json.loads(said.stdout)["results"]["checks"]} == {
        "errors": "fail",
        "good": "pass",
    }


def test_a_blip_ends_no_watch(verified: Verified) -> None:
    wrong = watched(verified, "3s")
    blip = threading.Timer(5, wrong.touch)
    over = threading.Timer(6.5, wrong.unlink)
    blip.start()
    over.start()
    said = verified.type(data=("watch=12s",)).stderr
    assert "1 fail, 1 pass: errors (@local) fail" in said
    assert "watched for 12s: no trigger held" in said


def test_a_trigger_that_lasts_as_long_as_the_watch_holds(verified: Verified) -> None:
    watched(verified, "2s").touch()
    assert "the trigger errors for 2s holds since 2s" in verified.type(data=("watch=2s",), code=1).stderr


def test_a_check_that_becomes_unknown_when_its_trigger_is_due_is_not_asked_without_a_pause(verified: Verified) -> None:
    file = verified.place / "failed"
    command = f"test -e {file} && kill -9 $$; touch {file}; exit 1"
    trigger = 'watch=Watch(every="1s", triggers=[Trigger(check="errors", lasting="1s")]),'
    verified.describe(f'Program(name="errors", command="{command}")', more=trigger)
    said = verified.type(data=("watch=4s",), code=1).stderr
    assert "no trigger held" in said
    assert len(re.findall(r"\d\d:\d\d:\d\d 1 (?:fail|unknown)", said)) <= 6


def test_a_trigger_for_a_check_that_there_is_not_is_refused(verified: Verified) -> None:
    verified.describe(GOOD, more='watch=Watch(triggers=[Trigger(check="goood")]),')
    said = verified.type(data=("watch=1s",), code=1).stderr
    assert "a trigger of test waits for the check goood, which is not asked. There are: good" in said
