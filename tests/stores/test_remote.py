"""A directory that is reached through the worker, as it is on a remote runner."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ops import Directory
from ops.environment import root
from ops.errors import ObjectMissing, OpsError, PreconditionFailed, StoreError
from ops.lock import Lock, holder
from ops.stores import open_store
from ops.stores.remote import LIMIT, RemoteDocuments


@pytest.fixture
def directory(tmp_path):
    return Directory(path=str(tmp_path / "backups"))


@pytest.fixture
def remote(directory):
    """The real worker, in a process of its own."""

    def ask(small):
        request = {
            "environment": "test",
            "database_name": "",
            "owner": "tests@here",
            "store": directory.model_dump(),
            "small": small,
        }
        done = subprocess.run(
            [sys.executable, "-m", "ops.worker", "small"],
            cwd=root(),
            input=json.dumps(request) + "\n",
            capture_output=True,
            text=True,
        )
        answer = json.loads(done.stdout)["answer"]
        if "error" in answer:
            raise OpsError.from_json(answer)
        return answer

    return RemoteDocuments(f"{directory.path} on runner-1", ask)


def test_small_objects_are_written_read_listed_and_removed_over_there(remote, directory):
    etag = remote.put_if_absent("test/a", b"\x00\xff")
    with pytest.raises(PreconditionFailed):
        remote.put_if_absent("test/a", b"another")
    with pytest.raises(PreconditionFailed):
        remote.replace("test/a", b"another", "0" * len(etag))
    assert remote.read("test/a") == (b"\x00\xff", etag)
    second = remote.replace("test/a", b"two", etag)
    assert second != etag
    remote.write("test/b", b"three")
    assert [(entry.key, entry.size) for entry in remote.list("test/")] == [("test/a", 3), ("test/b", 5)]
    assert remote.head("test/a").etag == second
    assert open_store(directory).read("test/b")[0] == b"three"
    remote.delete(["test/a", "test/b", "test/c"])
    assert list(remote.list()) == []
    with pytest.raises(ObjectMissing):
        remote.read("test/a")


def test_what_is_too_large_for_an_answer_is_refused(remote, directory):
    open_store(directory).write("test/large", bytes(LIMIT + 1))
    with pytest.raises(StoreError, match=f"{LIMIT + 1} bytes, more than the {LIMIT} expected"):
        remote.read("test/large")


def test_a_lock_is_kept_over_there(remote):
    with Lock(remote, "test/lock", "me@here", "a test") as lock:
        lock.confirm()
        assert holder(remote, "test/lock")["owner"] == "me@here"
    assert holder(remote, "test/lock") is None
