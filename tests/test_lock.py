"""One at a time, also across crashes and wrong clocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ops import Directory
from ops import lock as module
from ops.errors import LockHeld
from ops.lock import Lock, holder
from ops.stores import open_store

KEY = "env/db/backup.lock"


@pytest.fixture(params=["s3", "directory"])
def store(request, store_s3, tmp_path):
    return open_store(store_s3 if request.param == "s3" else Directory(path=str(tmp_path / "locks")))


def lock(store, owner="me@here"):
    return Lock(store, KEY, owner, "a backup", backup="2026-11-21T10-00-00Z")


def elsewhere(store, **changes):
    """Rewrite the lock as if a process on another machine held it."""
    state = {**json.loads(store.read(KEY)[0]), "process": "other-boot pid:[1] 1", **changes}
    store.write(KEY, json.dumps(state).encode())


def test_the_second_is_told_who_holds_it_since_when_and_what_for(store):
    with lock(store, "first@here"):
        with pytest.raises(
            LockHeld, match=r"first@here holds the lock for a backup since 20.*process \d+ on .*"
        ) as refused:
            lock(store, "second@here").__enter__()
        assert "Wait for it" in refused.value.hint
        assert holder(store, KEY)["backup"] == "2026-11-21T10-00-00Z"
    assert holder(store, KEY) is None
    with lock(store, "second@here"):
        assert holder(store, KEY)["owner"] == "second@here"


def test_of_many_at_once_exactly_one_gets_it(store):
    together, got = threading.Barrier(6), []

    def attempt(number):
        mine = lock(store, f"{number}@here")
        together.wait()
        try:
            mine.__enter__()
        except LockHeld:
            return
        got.append(mine)

    for _ in range(3):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(attempt, range(6)))
        assert len(got) == 1
        got.pop().__exit__(None, None, None)


def test_a_holder_that_died_on_this_machine_is_taken_over_at_once(store):
    with lock(store):
        state = json.loads(store.read(KEY)[0])
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        gone = {**state, "pid": dead.pid, "process": state["process"].rpartition(" ")[0] + " 1"}
    store.write(KEY, json.dumps({**gone, "held": True}).encode())
    assert holder(store, KEY) is None
    with lock(store, "next@here"):
        assert holder(store, KEY)["owner"] == "next@here"


def test_a_holder_elsewhere_keeps_it_until_it_has_not_been_renewed_for_the_expiry(store, monkeypatch):
    monkeypatch.setattr(module, "EXPIRY", 3.0)
    with lock(store, "far@away"):
        pass
    monkeypatch.undo()  # it is the holder's own word that counts
    elsewhere(store, held=True)
    with pytest.raises(LockHeld, match="far@away"):
        lock(store).__enter__()
    time.sleep(4.1)  # a Date header has whole seconds
    with lock(store):
        pass


def test_a_wrong_clock_of_ours_harms_nothing(store, monkeypatch):
    """Ages come from the store's own clock."""
    with lock(store, "far@away"):
        pass
    elsewhere(store, held=True, started="2031-01-01T00:00:00Z")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with pytest.raises(LockHeld):
        lock(store).__enter__()


def test_a_lock_that_was_taken_over_is_noticed_before_the_write_that_must_be_the_only_one(store):
    mine = lock(store)
    mine.__enter__()
    mine.confirm()
    elsewhere(store, owner="other@there")
    with pytest.raises(LockHeld, match="taken over"):
        mine.confirm()
    mine.__exit__(None, None, None)
    assert json.loads(store.read(KEY)[0])["owner"] == "other@there", "and it is not released under the other's feet"


def test_a_renewal_whose_answer_was_lost_is_recognised_as_our_own(store):
    with lock(store) as mine:
        state = json.loads(store.read(KEY)[0])
        store.write(KEY, json.dumps({**state, "beat": state["beat"] + 1}).encode())
        mine.confirm()
        mine.confirm()


def test_the_heartbeat_keeps_it(store, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.2)
    with lock(store):
        beat = json.loads(store.read(KEY)[0])["beat"]
        time.sleep(1)
        assert json.loads(store.read(KEY)[0])["beat"] > beat


def test_an_unreadable_lock_is_held_by_somebody(store):
    store.write(KEY, b"\xff nonsense")
    with pytest.raises(LockHeld, match="somebody"):
        lock(store).__enter__()


def test_our_own_process_is_alive():
    assert module._process(os.getpid()) is not None
    assert not module._died_here({"process": module._process(os.getpid()), "pid": os.getpid()})
