"""What remains of a run: its record, the history, the report, and which release serves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest
from changing import Changing

from ops import record
from ops.environment import root
from ops.errors import ConfigurationError
from ops.report import report
from ops.stores import open_store


@pytest.fixture
def changing(pyinfra, tmp_path):
    return Changing(pyinfra, tmp_path)


def test_a_run_that_changes_something_is_on_record_with_who_why_what_and_how_long(changing, store_s3):
    run = changing.type("--data", 'reason=a customer said "it is slow"', "--data", "wait=0.2")
    assert run.code == 0, run.stderr
    (written,) = record.runs(open_store(store_s3), "test", 10)
    assert (written.deploy, written.result, written.environment) == ("changing", "done", "test")
    assert re.fullmatch(r"\S+@\S+", written.who)
    assert written.reason == 'a customer said "it is slow"'
    assert written.arguments == {"wait": "0.2"}
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?", written.commit)
    (step,) = written.steps
    assert (step.operation, step.host, step.words, step.outcome) == ("Change", "@local", "Change it", "done")
    assert 0.2 <= step.seconds <= written.seconds + 0.1
    assert written.facts == {"releases": {"web": {"from": "1", "to": "2"}}}


def test_a_step_that_fails_is_on_record_with_its_line_and_the_run_has_failed(changing, store_s3):
    assert changing.type("--data", "fail=yes").code == 1
    (written,) = record.runs(open_store(store_s3), "test", 10)
    assert written.result == "failed"
    assert (written.steps[0].outcome, written.steps[0].error) == ("failed", "it went wrong. Look at it")


def test_a_failure_that_the_deploy_ignores_is_on_record_and_the_run_is_done(changing, store_s3):
    changing.deploy.write_text(
        changing.deploy.read_text().replace('name="Change"', 'name="Change", _ignore_errors=True')
    )
    assert changing.type("--data", "fail=yes").code == 0
    (written,) = record.runs(open_store(store_s3), "test", 10)
    assert written.result == "done"
    assert written.steps[0].outcome == "ignored"


@pytest.mark.slow
def test_what_changes_nothing_is_not_on_record(changing, store_s3):
    before = [entry.key for entry in open_store(store_s3).list()]
    assert changing.type("--data", "nothing=yes").code == 0
    assert changing.pyinfra.type("--dry", str(changing.deploy)).code == 0
    for deploy in ("history", "lock", "backups", "services"):
        shown = changing.pyinfra.type("-y", f"deploys/{deploy}.py")
        assert shown.code == 0, shown.stderr
    assert [entry.key for entry in open_store(store_s3).list()] == before == []


def test_what_only_looks_is_on_record_beside_what_changes(changing, store_s3):
    changing.deploy.write_text(changing.deploy.read_text() + 'services.well(name="See that all is well")\n')
    assert changing.type().code == 0
    (written,) = record.runs(open_store(store_s3), "test", 10)
    assert [(step.operation, step.words, step.outcome) for step in written.steps] == [
        ("Change", "Change it", "done"),
        ("See that all is well", "", "done"),
    ]
    assert "| Verification | See that all is well (@local): done |" in report(written)


def test_an_operation_that_is_typed_is_on_record_by_its_name(changing, store_s3):
    take = changing.pyinfra.type("-y", "ops.operations.backups.take", "max_age=1h")
    assert take.code == 0, take.stderr
    (written,) = record.runs(open_store(store_s3), "test", 10)
    assert (written.deploy, written.arguments, written.result) == ("backups.take", {"max_age": "1h"}, "done")
    assert any(f"/{written.facts['backup']}/" in entry.key for entry in open_store(store_s3).list())


def test_a_run_that_is_killed_is_unfinished_for_ever(changing, store_s3):
    with changing.begun("--data", "wait=60") as process:
        until(lambda: record.runs(open_store(store_s3), "test", 10))
        process.kill()
    shown = changing.pyinfra.type("-y", "deploys/history.py")
    assert any("changing" in line and "unfinished" in line for line in shown.lines), shown.stderr
    (written,) = record.runs(open_store(store_s3), "test", 10)
    assert (written.result, written.steps[0].outcome) == (None, None)


def test_ctrl_c_is_on_record_and_frees_the_lock(changing, store_s3):
    with changing.begun("--data", "wait=60") as process:
        until(lambda: record.runs(open_store(store_s3), "test", 10))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 130
    (written,) = record.runs(open_store(store_s3), "test", 10)
    assert (written.result, written.steps[0].outcome) == ("interrupted", "interrupted")
    assert json.loads(open_store(store_s3).read("test/lock")[0])["held"] is False


@pytest.mark.slow
def test_the_table_is_newest_first_and_a_run_is_shown_step_by_step(changing, store_s3, tmp_path):
    assert changing.type("--data", "reason=first").code == 0
    assert changing.type("--data", "fail=yes", "--data", "reason=second").code == 1
    shown = changing.pyinfra.type("-y", "deploys/history.py")
    rows = [line for line in shown.lines if re.match(r"20\d\d-", line)]
    assert [("first" in row, "second" in row) for row in rows[:2]] == [(False, True), (True, False)]
    assert max(map(len, shown.stderr.splitlines())) <= 104
    only = changing.pyinfra.type("-y", "deploys/history.py", "--data", "limit=1")
    assert "second" in only.stderr
    assert "first" not in only.stderr
    id = record.runs(open_store(store_s3), "test", 1)[0].id
    file = tmp_path / "report.md"
    one = changing.pyinfra.type("-y", "deploys/history.py", "--data", f"run={id}", "--data", f"report={file}")
    assert one.code == 0, one.stderr
    assert "Change on @local: it went wrong. Look at it" in one.stderr
    text = file.read_text()
    for row in (
        "# changing of test: failed",
        "| Reason | second |",
        "| Versions | web: `1` → `2` |",
        "| Impact | 1 change on @local; Change failed on @local |",
        "- [ ] Change on @local: it went wrong. Look at it",
    ):
        assert row in text, text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "limit=none"], "limit=none is no number of runs"),
        (["--data", "limit=0"], "limit=0 is no number of runs"),
        (["--data", "run=2020"], "there is no run 2020 of test. Look at them"),
        (["--data", "report=x.md"], "it is not said which run the report is to be about"),
    ],
)
def test_what_cannot_be_meant_of_the_history_is_one_line(changing, words, said):
    run = changing.pyinfra.type("-y", "deploys/history.py", *words)
    assert run.code == 1
    assert any(said in line for line in run.lines), run.stderr
    assert "Traceback" not in run.stderr


def test_no_secret_is_in_any_record(changing, store_s3):
    secrets = changing.pyinfra.secrets
    assert changing.type("--data", f"reason=the key is {secrets['TEST_SECRET_KEY']}", "--data", "fail=secret").code == 1
    store = open_store(store_s3)
    keys = [entry.key for entry in store.list()]
    assert any("/runs/" in key for key in keys)
    for key in keys:
        content = store.read(key)[0].decode()
        assert not [name for name, value in secrets.items() if value in content], content
    (written,) = record.runs(store, "test", 1)
    assert written.reason == "the key is ***"
    assert written.steps[0].error == "no connection to ***"


def test_an_option_that_sounds_like_a_secret_is_not_written_down(changing, store_s3):
    assert changing.type("--data", "api_token=abcdefgh").code == 0
    (written,) = record.runs(open_store(store_s3), "test", 1)
    assert written.arguments == {"api_token": "***"}


def test_a_store_that_is_down_stops_only_what_needs_the_lock(changing):
    text = changing.pyinfra.inventory.read_text()
    changing.pyinfra.inventory.write_text(re.sub(r"http://[^\"]*", "http://127.0.0.1:1", text))
    refused = changing.type()
    assert refused.code == 1
    assert any("the lock of test cannot be taken, so nothing is changed" in line for line in refused.lines)
    assert not changing.done.exists()
    unlocked = changing.type("--data", "alone=no")
    assert unlocked.code == 0, unlocked.stderr
    assert changing.done.exists()
    warnings = [line for line in unlocked.lines if "The record of this run cannot be written" in line]
    assert len(warnings) == 1, unlocked.stderr
    assert "Traceback" not in unlocked.stderr


def test_a_release_is_written_down_and_the_newest_is_read_first(changing, store_s3):
    for release in ("2026-11-01", "2026-11-08"):
        assert changing.type("--data", f"release={release}").code == 0
    found = record.releases(open_store(store_s3), "test", "web")
    assert [one.release for one in found] == ["2026-11-08", "2026-11-01"]
    assert found[0].migration == "0007"
    assert found[0].run == record.runs(open_store(store_s3), "test", 1)[0].id
    assert record.releases(open_store(store_s3), "test", "we") == []


def test_a_release_that_fails_is_not_written_down(changing, store_s3):
    assert changing.type("--data", "release=2026-11-01", "--data", "fail=after").code == 1
    assert record.releases(open_store(store_s3), "test", "web") == []


def test_two_runs_that_begin_in_the_same_second_have_two_records(store_s3):
    store = open_store(store_s3)
    for who in ("a@b", "c@d"):
        run = record.Run(
            "2026-11-21T10-00-59Z-restart", "test", who, "0", None, "restart", {}, None, "2026-11-21T10:00:59Z"
        )
        record.begin(store, run, lambda run=run: record.dumped(run.to_json()))
    assert [run.id for run in record.runs(store, "test", 5)] == [
        "2026-11-21T10-01-00Z-restart",
        "2026-11-21T10-00-59Z-restart",
    ]
    with pytest.raises(ConfigurationError, match="there are 2 runs 2026-11-21T10"):
        record.find(store, "test", "2026-11-21T10")
    assert record.find(store, "test", "2026-11-21T10-00").who == "a@b"


def test_what_is_no_record_is_left_out(store_s3):
    store = open_store(store_s3)
    for name, content in (("a", b"\xff"), ("b", b"[]"), ("c", b"{}"), ("d", b'{"steps": 3}')):
        store.write(f"test/runs/{name}.json", content)
        store.write(f"test/releases/2026-11-21T10-00-0{ord(name) % 10}Z-web.json", content)
    assert record.runs(store, "test", 10) == []
    assert record.releases(store, "test", "web") == []


def test_a_look_at_the_services_loads_nothing_of_the_store(changing):
    shown = subprocess.run(
        changing.pyinfra.command("-y", "deploys/services.py"),
        cwd=root(),
        env={**os.environ, **changing.pyinfra.secrets, "PYTHONPROFILEIMPORTTIME": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0
    assert "pyinfra_cli" in shown.stderr, "it says what is imported"
    assert "botocore" not in shown.stderr


def until(condition, within=30):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
