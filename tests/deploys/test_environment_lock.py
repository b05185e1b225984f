"""One changing deploy at a time on an environment, and the environment that is kept by hand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from changing import Changing
from command_line import CommandLine

from ops import S3, clock, record
from ops.sandbox import ports
from ops.stores import open_store

KEY, RESERVATION = "test/lock", "test/reservation"


@pytest.fixture
def changing(pyinfra, tmp_path):
    return Changing(pyinfra, tmp_path)


@pytest.fixture
def store(store_s3):
    return open_store(store_s3)


def held(store):
    return any(entry.key == KEY for entry in store.list()) and json.loads(store.read(KEY)[0])["held"]


def until(condition, within=30):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def far_away(store, **changes):
    """Rewrite the lock as if a process on another machine had taken it, and was killed."""
    state = {**json.loads(store.read(KEY)[0]), "owner": "far@away", "process": "other-boot pid:[1] 1", "held": True}
    store.write(KEY, json.dumps({**state, **changes}).encode())


@pytest.fixture
def weak_store(tmp_path):
    """A server that takes conditional writes and ignores the condition."""
    port = ports.free()
    command = [Path(sys.executable).with_name("nanio"), "serve", "--host=127.0.0.1", f"--port={port}"]
    keys = {"NANIO_ACCESS_KEY": "AKIAEXAMPLE", "NANIO_SECRET_KEY": "example-key", "PATH": "/usr/bin:/bin"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, f"--data-dir={tmp_path / 'nanio'}"], env=keys, **silent) as server:
        store = S3(
            endpoint=f"http://127.0.0.1:{port}", bucket="backups", access_key="AKIAEXAMPLE", secret_key="example-key"
        )
        client = boto3.client("s3", "us-east-1", None, True, None, store.endpoint, "AKIAEXAMPLE", "example-key")

        def made():
            try:
                return client.create_bucket(Bucket="backups")
            except (BotoCoreError, ClientError):
                return None

        until(made)
        yield store
        server.terminate()


def test_a_store_that_cannot_keep_two_runs_apart_is_refused(shop, weak_store, tmp_path):
    changing = Changing(CommandLine(tmp_path, shop, weak_store), tmp_path)
    run = changing.type()
    assert run.code == 1
    assert any(
        "the lock of test cannot be taken, so nothing is changed" in line and "If-None-Match" in line
        for line in run.lines
    ), run.stderr
    assert not changing.done.exists()


def reserved(store, **changes):
    """The environment is kept by somebody."""
    there = {"owner": "far@away", "reason": "a move", "started": "2026-11-21T10:00:00Z", "seconds": 3600}
    store.write(RESERVATION, json.dumps({**there, **changes}).encode())


@pytest.mark.slow
def test_of_two_deploys_at_once_the_second_is_told_who_why_since_when_and_what_to_type(changing, store):
    with changing.begun("--data", "wait=60", "--data", "reason=a new certificate") as first:
        until(lambda: held(store))
        second = changing.type()
        assert second.code == 1
        assert any(
            re.search(
                r"\S+@\S+ holds the lock for changing \(a new certificate\) since 20\S+Z \(process \d+ on \S+, last "
                r"heartbeat \d+ s ago\)\. Wait until they are done, or look: pyinfra test deploys/lock\.py",
                line,
            )
            for line in second.lines
        ), second.stderr
        assert not changing.done.exists()
        shown = changing.pyinfra.type("-y", "deploys/lock.py")
        assert any("holds it for changing (a new certificate) since" in line for line in shown.lines), shown.stderr
        assert first.poll() is None
    assert len(record.runs(store, "test", 10)) == 1, "who was refused has changed nothing"


@pytest.mark.slow
def test_it_is_free_after_the_run_however_that_ended(changing, store):
    for words, code in ((), 0), (("--data", "fail=yes"), 1), ((), 0):
        assert changing.type(*words).code == code
        assert not held(store)


@pytest.mark.slow
def test_a_backup_needs_it_not(changing, store):
    with changing.begun("--data", "wait=60"):
        until(lambda: held(store))
        assert changing.pyinfra.type("-y", "deploys/backup.py").code == 0
        assert changing.pyinfra.type("-y", "deploys/drill.py").code == 0


def test_the_lock_of_a_run_that_was_killed_here_is_free_at_once(changing, store):
    with changing.begun("--data", "wait=60") as process:
        until(lambda: held(store))
        process.kill()
        process.wait()
    assert held(store)
    assert changing.type().code == 0


@pytest.mark.slow
def test_the_lock_of_a_run_that_was_killed_elsewhere_is_free_after_its_expiry(changing, store):
    assert changing.type().code == 0
    changing.done.unlink()
    far_away(store, expiry=300)
    assert changing.type().code == 1
    assert not changing.done.exists()
    far_away(store, expiry=4)
    time.sleep(5.1)  # a Date header has whole seconds
    assert changing.type().code == 0
    assert changing.done.exists()


CLOCK = """
import datetime, time
delta, right, real = {seconds}, time.time, datetime.datetime
time.time = lambda: right() + delta

class Wrong(real):
    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(seconds=delta)

    @classmethod
    def utcnow(cls):
        return real.utcnow() + datetime.timedelta(seconds=delta)

datetime.datetime = Wrong
"""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [-60, 60])
def test_a_clock_that_is_wrong_by_a_minute_harms_nothing(changing, store, tmp_path, seconds):
    """What counts is the store's own clock."""
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(seconds=seconds))
    assert changing.type(PYTHONPATH=str(tmp_path)).code == 0
    started = clock.parse_iso(json.loads(store.read(KEY)[0])["started"])
    assert abs((started - clock.now()).total_seconds() - seconds) < 30, "its clock is wrong"
    far_away(store, expiry=45)
    assert changing.type(PYTHONPATH=str(tmp_path)).code == 1
    far_away(store, expiry=1)
    time.sleep(2.1)
    run = changing.type(PYTHONPATH=str(tmp_path))
    assert run.code == 0, run.stderr


@pytest.mark.slow
def test_kept_by_hand_it_keeps_out_others_and_lets_in_its_owner(changing, store):
    take = changing.pyinfra.type(
        "-y", "deploys/lock.py", "--data", "take=2h", "--data", "reason=the provider moves the database"
    )
    assert take.code == 0, take.stderr
    assert any("keeps it for 2h" in line or "keeps it for 1h 59m" in line for line in take.lines)
    assert not held(store)
    assert changing.type().code == 0
    reserved(store)
    refused = changing.type()
    assert refused.code == 1
    assert any(
        re.search(r"test is reserved: far@away keeps it for .* more since 2026-11-21T10:00:00Z: a move\. ", line)
        and "pyinfra test deploys/lock.py" in line
        for line in refused.lines
    ), refused.stderr
    assert not held(store), "the refused run keeps nobody out"
    again = changing.pyinfra.type("-y", "deploys/lock.py", "--data", "take=1h", "--data", "reason=mine")
    assert again.code == 1
    reserved(store, seconds=1)
    time.sleep(2.1)
    assert changing.type().code == 0


def test_it_is_not_taken_by_hand_while_somebody_is_at_work(changing, store):
    with changing.begun("--data", "wait=60"):
        until(lambda: held(store))
        take = changing.pyinfra.type("-y", "deploys/lock.py", "--data", "take=2h", "--data", "reason=mine")
    assert take.code == 1
    assert any("holds the lock for changing since" in line for line in take.lines)
    assert not [entry for entry in store.list() if entry.key == RESERVATION]


@pytest.mark.slow
def test_it_is_broken_only_when_that_is_confirmed_and_the_holder_stops_before_its_next_change(
    changing, store, tmp_path
):
    text = changing.pyinfra.inventory.read_text()
    changing.pyinfra.inventory.write_text(text.replace('name="test"', 'name="test", protected=True'))
    changing.deploy.write_text(changing.deploy.read_text() + 'change(name="Change again")\n')
    with changing.begun("--data", "wait=20") as first:
        until(lambda: held(store))
        for words, said in (
            (["break=yes"], "the environment test is protected. If you mean it, add --data confirm=test"),
            (["break=yes", "confirm=tset"], "is protected, and confirm=tset is not its name"),
            (["break=no"], "break=no does not say yes"),
        ):
            refused = changing.pyinfra.type(
                "-y", "deploys/lock.py", *(part for word in words for part in ("--data", word))
            )
            assert refused.code == 1
            assert any(said in line for line in refused.lines), refused.stderr
            assert held(store)
        broken = changing.pyinfra.type("-y", "deploys/lock.py", "--data", "break=yes", "--data", "confirm=test")
        assert broken.code == 0, broken.stderr
        assert any("Break the lock of test, although" in line for line in broken.lines)
        assert not held(store)
        assert first.wait(timeout=60) == 1
        assert "the lock was taken over while this run stood still" in first.stderr.read()
    outcomes = [
        [step.outcome for step in run.steps] for run in record.runs(store, "test", 10) if run.deploy == "changing"
    ]
    assert outcomes == [["done", "failed"]]
    (run,) = [run for run in record.runs(store, "test", 10) if run.deploy == "changing"]
    assert run.steps[1].error.startswith("the lock was taken over while this run stood still")
    nothing = changing.pyinfra.type("-y", "--json", "deploys/lock.py", "--data", "break=yes")
    assert nothing.results()["Break the lock"] == "no_change"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["take=2h"], "it is not said why the lock is taken"),
        (["take=soon", "reason=x"], "'soon' is no duration"),
        (["take=0s", "reason=x"], "take=0s is no time at all"),
    ],
)
def test_what_cannot_be_meant_of_the_lock_is_one_line(changing, store, words, said):
    run = changing.pyinfra.type("-y", "deploys/lock.py", *(part for word in words for part in ("--data", word)))
    assert run.code == 1
    assert any(said in line for line in run.lines), run.stderr
    assert "Traceback" not in run.stderr
    assert list(store.list()) == []


@pytest.mark.slow
def test_an_unreadable_lock_or_reservation_is_somebodys_and_can_be_broken(changing, store):
    for key, said, shown in (
        (RESERVATION, "somebody keeps it for ever", "somebody keeps it for ever"),
        (KEY, "somebody holds the lock for an unreadable reason", "somebody holds it for an unreadable reason"),
    ):
        store.write(key, b"\xff")
        refused = changing.type()
        assert refused.code == 1
        assert any(said in line for line in refused.lines), refused.stderr
        looked = changing.pyinfra.type("-y", "deploys/lock.py")
        assert any(line.startswith(shown) for line in looked.lines), looked.stderr
        assert "None" not in looked.stderr
        broken = changing.pyinfra.type("-y", "deploys/lock.py", "--data", "break=yes")
        assert broken.code == 0, broken.stderr
        assert changing.type().code == 0
