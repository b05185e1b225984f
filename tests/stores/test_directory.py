"""A directory as a store: what a crash, a full disk or another user do to it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streams import Stream, content

from ops import Directory
from ops.errors import ObjectMissing, StoreDenied, StoreError, StoreMissing
from ops.stores.directory import DirectoryStore

# Writes half a stream, says so, and waits.
WRITER = """
import sys, time
from ops import Directory
from ops.stores import open_store

class Half:
    calls = 0
    def readinto(self, buffer):
        self.calls += 1
        if self.calls > 1:
            print("half", flush=True)
            time.sleep(600)
        buffer[:1000] = bytes(1000)
        return 1000

open_store(Directory(path=sys.argv[1])).put("prod/shop/1/dump", Half())
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def store(place: Path) -> DirectoryStore:
    return DirectoryStore(Directory(path=str(place)))


@pytest.fixture
def writer(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a put."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "half\n"
        yield process
        process.kill()


def files(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.name != ".lock")


def test_only_the_owner_may_look(store, place):
    store.put("a/b/dump", Stream(b"x"))
    store.write("a/b/manifest", b"x")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [place, *place.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_reading_makes_no_directory(store, place):
    assert list(store.list()) == []
    with pytest.raises(ObjectMissing):
        store.read("a")
    store.delete(["a"])
    assert not place.exists()


def test_directories_that_get_empty_go(store, place):
    store.write("a/b/c/one", b"x")
    store.write("a/two", b"x")
    store.delete(["a/b/c/one"])
    assert files(place) == ["a", "a/two"]
    store.delete(["a/two"])
    assert files(place) == []


def test_a_failed_put_leaves_no_directory(store, place):
    with pytest.raises(RuntimeError):
        store.put("a/b/dump", Stream(b"x", failure=RuntimeError()))
    assert files(place) == []


def test_a_missing_parent_is_no_mount(tmp_path):
    store = DirectoryStore(Directory(path=str(tmp_path / "not" / "mounted")))
    with pytest.raises(StoreMissing, match="there is no directory"):
        store.write("a", b"x")
    with pytest.raises(StoreMissing):
        store.put("a", Stream(b"x"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_its_place_is_no_directory(store, place):
    place.write_text("x")
    with pytest.raises(StoreMissing, match="is no directory"):
        list(store.list())
    with pytest.raises(StoreError):
        store.write("a", b"x")


def test_a_file_and_a_directory_cannot_share_a_key(store):
    store.write("a/b", b"x")
    with pytest.raises(StoreError):
        store.write("a", b"x")
    with pytest.raises(StoreError):
        store.write("a/b/c", b"x")
    assert [entry.key for entry in store.list()] == ["a/b"]


def test_what_a_living_writer_writes_is_neither_listed_nor_thrown_away(store, place, writer):
    assert list(store.list()) == []
    assert store.abort_uploads("prod/") == 0
    assert any(".tmp-" in name for name in files(place))


def test_what_a_killed_writer_left_is_thrown_away(store, place, writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert list(store.list()) == []
    assert store.abort_uploads("prod/other/") == 0
    assert store.abort_uploads("prod/shop/1/d") == 1
    assert files(place) == []


def test_ages_are_told_by_the_clock_of_the_file_system(store, monkeypatch):
    store.write("a", b"x")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= store.head("a").age < 5
    assert [entry.age < 5 for entry in store.list()] == [True]


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tiny_disk):
    store = DirectoryStore(Directory(path=str(tiny_disk / "backups")))
    store.write("lock", b"x")
    with pytest.raises(StoreError, match=r"dump: No space left on device\. Make room"):
        store.put("prod/1/dump", Stream(content(2 * 2**20)))
    assert files(tiny_disk / "backups") == ["lock"]
    store.put("prod/1/dump", Stream(content(2**19)))


def test_a_disk_full_to_the_last_byte_can_still_be_read_and_cleared(tiny_disk):
    store = DirectoryStore(Directory(path=str(tiny_disk / "backups")))
    store.write("a", b"x")
    with pytest.raises(OSError), (tiny_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert store.read("a")[0] == b"x"
    assert [entry.key for entry in store.list()] == ["a"]
    with pytest.raises(StoreError, match="No space left"):
        store.put_if_absent("b", b"x")
    store.delete(["a"])


def test_a_disk_mounted_read_only_can_be_read_and_refuses_writes(tiny_disk):
    store = DirectoryStore(Directory(path=str(tiny_disk / "backups")))
    store.write("a", b"x")
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    assert store.read("a")[0] == b"x"
    assert store.head("a").age < 60
    with pytest.raises(StoreDenied, match=r"Read-only file system\. Mount it for writing"):
        store.write("a", b"y")


def test_a_directory_of_another_user_is_denied(open_directory):
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    store = DirectoryStore(Directory(path=str(open_directory / "backups")))
    store.write("a/b", b"x")
    os.seteuid(65534)
    try:
        for ask in (lambda: store.read("a/b"), lambda: store.write("a/b", b"y"), lambda: list(store.list())):
            with pytest.raises(StoreDenied, match="Permission denied"):
                ask()
    finally:
        os.seteuid(0)
