"""What every store promises, whatever it is made of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from streams import Stream, content

from ops import S3, Directory
from ops.errors import (
    ObjectMissing,
    OpsError,
    PreconditionFailed,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnreachable,
)
from ops.sandbox import ports
from ops.stores import Store, open_store
from ops.stores.s3 import S3Store

PART = 8 * 2**20
STALE = '"0123456789abcdef0123456789abcdef"'


class Impatient(S3Store):
    connect_timeout = 1.0
    read_timeout = 1.0
    tries = 2


def keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix)]


def fetched(store: Store, key: str, start: int = 0, length: int | None = None) -> bytes:
    taken = bytearray()
    assert store.get(key, taken.extend, start, length) == len(taken)
    return bytes(taken)


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, PART * 7 // 2])
def test_a_stream_of_unknown_length_comes_back_as_it_was(store, size):
    data = content(size)
    assert store.put("a/dump", Stream(data)) == size
    assert fetched(store, "a/dump") == data
    assert store.head("a/dump").size == size


def test_a_source_may_give_short_reads(store):
    data = content(PART + 12_345)
    store.put("a/dump", Stream(data, step=70_001))
    assert fetched(store, "a/dump") == data


def test_a_put_writes_over_what_was_there(store):
    store.put("a/dump", Stream(b"first"))
    store.put("a/dump", Stream(b"second"))
    assert fetched(store, "a/dump") == b"second"


@pytest.mark.parametrize("size", [0, 10, PART + 10, 5 * PART])
@pytest.mark.parametrize("failure", [RuntimeError("pg_dump died"), OSError("pipe"), KeyboardInterrupt()])
def test_a_source_that_fails_leaves_nothing_behind(store, size, failure):
    with pytest.raises(type(failure)) as raised:
        store.put("a/dump", Stream(content(size), failure=failure))
    assert raised.value is failure
    assert keys(store) == []
    assert store.abort_uploads("") == 0


def test_a_sink_gets_chunks_of_about_a_mebibyte_in_order(store):
    data = content(5 * 2**20 + 7)
    store.put("a/dump", Stream(data))
    chunks: list[bytes] = []
    store.get("a/dump", chunks.append)
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= 2**20


def test_what_a_sink_raises_ends_the_transfer_and_is_passed_on(store):
    store.put("a/dump", Stream(content(5 * 2**20)))
    failure = OSError("the restore died")
    calls = []

    def sink(chunk: bytes) -> None:
        calls.append(len(chunk))
        raise failure

    with pytest.raises(OSError) as raised:
        store.get("a/dump", sink)
    assert raised.value is failure
    assert len(calls) == 1
    assert store.head("a/dump").size == 5 * 2**20


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (7, None, b"789"), (7, 100, b"789"), (10, None, b""), (50, 3, b""), (2, 0, b"")],
)
def test_a_range_is_read_as_asked(store, start, length, expected):
    store.write("digits", b"0123456789")
    assert fetched(store, "digits", start, length) == expected


def test_any_range_of_an_empty_object_is_empty(store):
    store.write("empty", b"")
    assert fetched(store, "empty", 0, 5) == b""


def test_a_listing_is_in_order_of_keys_and_complete(store):
    names = sorted(f"many/{number:04}/manifest.json" for number in range(1005))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: store.write(name, b"x"), names))
    assert keys(store, "many/") == names
    assert keys(store, "many/0007/") == ["many/0007/manifest.json"]


def test_a_listing_takes_a_prefix_for_letters_not_for_a_directory(store):
    for name in ["prod/shop/1", "prod/shop-old/1", "prod/shop.x", "production/1"]:
        store.write(name, b"x")
    assert keys(store, "prod/shop") == ["prod/shop-old/1", "prod/shop.x", "prod/shop/1"]
    assert keys(store, "prod/shop/") == ["prod/shop/1"]
    assert keys(store, "pro") == ["prod/shop-old/1", "prod/shop.x", "prod/shop/1", "production/1"]
    assert keys(store, "other") == []


def test_an_entry_tells_size_age_and_etag(store):
    etag = store.write("a/b", b"12345")
    [listed] = store.list()
    assert (listed.key, listed.size, listed.etag) == ("a/b", 5, etag)
    head = store.head("a/b")
    assert (head.key, head.size, head.etag) == ("a/b", 5, etag)
    assert 0 <= head.age < 5
    assert store.read("a/b") == (b"12345", etag)


def test_the_age_grows(store):
    store.write("a", b"x")
    time.sleep(2.1)
    assert 1 <= store.head("a").age < 10
    [listed] = store.list()
    assert 1 <= listed.age < 10


def test_an_etag_changes_with_the_content(store):
    first = store.write("a", b"one")
    second = store.write("a", b"two")
    assert first != second == store.head("a").etag


def test_keys_may_hold_what_database_names_may(store):
    for key in ["prod/my%20shop/1", "prod/Größe+=@:,~/1", "prod/a b/1"]:
        store.write(key, b"x")
        assert store.read(key)[0] == b"x"
    assert len(keys(store, "prod/")) == 3


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".lock", "a\0b", "a\nb", "a\\b"])
def test_what_is_no_key_is_refused(store, key):
    with pytest.raises(StoreError, match="cannot be a key"):
        store.write(key, b"x")
    with pytest.raises(StoreError, match="cannot be a key"):
        store.read(key)


def test_delete_removes_and_may_be_repeated(store):
    store.write("a/b/c", b"x")
    store.write("a/d", b"x")
    store.delete(["a/b/c", "never/was"])
    assert keys(store) == ["a/d"]
    store.delete(["a/b/c", "a/d"])
    store.delete([])
    assert keys(store) == []


def test_an_unknown_key_is_missing(store):
    store.write("a/known", b"x")
    for ask in (store.head, store.read, lambda key: store.get(key, print), lambda key: store.get(key, print, 1, 0)):
        for key in ("a/unknown", "a"):
            with pytest.raises(ObjectMissing, match=key):
                ask(key)


def test_a_fresh_store_is_empty(store):
    assert keys(store) == []
    assert store.abort_uploads("") == 0
    store.delete(["a"])
    with pytest.raises(ObjectMissing):
        store.head("a")


def test_reading_more_than_the_limit_is_refused(store):
    store.write("a", b"12345")
    assert store.read("a", limit=5)[0] == b"12345"
    with pytest.raises(StoreError, match="5 bytes, more than the 4"):
        store.read("a", limit=4)


def test_put_if_absent_writes_only_where_nothing_is(store):
    etag = store.put_if_absent("lock", b"mine")
    with pytest.raises(PreconditionFailed):
        store.put_if_absent("lock", b"theirs")
    assert store.read("lock") == (b"mine", etag)
    store.delete(["lock"])
    store.put_if_absent("lock", b"theirs")


def test_replace_writes_only_over_what_was_seen(store):
    first = store.write("lock", b"one")
    second = store.replace("lock", b"two", first)
    with pytest.raises(PreconditionFailed):
        store.replace("lock", b"three", first)
    assert store.read("lock") == (b"two", second)
    with pytest.raises(PreconditionFailed):
        store.replace("lock", b"three", STALE)
    with pytest.raises(PreconditionFailed):
        store.replace("nothing", b"three", STALE)
    assert keys(store) == ["lock"]


def winners(attempt: Callable[[int], object]) -> list[int]:
    """Which of eight threads that all try at once succeed."""
    start = threading.Barrier(8)

    def one(number: int) -> bool:
        start.wait()
        try:
            attempt(number)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        return [number for number, won in enumerate(pool.map(one, range(8))) if won]


def test_of_eight_that_put_if_absent_exactly_one_wins(store, request):
    if "moto" in request.node.name:
        pytest.skip("moto looks and writes in two steps")
    for turn in range(5):
        [winner] = winners(lambda number, turn=turn: store.put_if_absent(f"lock-{turn}", b"%d" % number))
        assert store.read(f"lock-{turn}")[0] == b"%d" % winner


def test_of_eight_that_replace_the_same_exactly_one_wins(store, request):
    if "moto" in request.node.name:
        pytest.skip("moto looks and writes in two steps")
    etag = store.write("lock", b"free")
    for turn in range(5):
        contents = [b"held by %d in turn %d" % (number, turn) for number in range(8)]
        [winner] = winners(lambda number, c=contents, etag=etag: store.replace("lock", c[number], etag))
        found, etag = store.read("lock")
        assert found == contents[winner]


def test_wrong_credentials_are_denied_and_not_told(description, request):
    if isinstance(description, Directory):
        pytest.skip("a directory has no credentials")
    if "moto" in request.node.name:
        pytest.skip("moto takes any credentials")
    told = {"access_key": "access key id", "secret_key": "secret access key"}
    for field, words in told.items():
        wrong = S3(**{**description.model_dump(context={"reveal": True}), field: "wrongwrongwrong"})
        store = open_store(wrong)
        for ask in (lambda: store.write("a", b"x"), lambda: store.read("a"), lambda: list(store.list())):  # noqa: B023
            with pytest.raises(StoreDenied, match=words) as raised:
                ask()
            one_line(raised.value)
            assert "wrongwrong" not in str(raised.value)
        with pytest.raises(StoreDenied):
            store.head("a")


def test_a_missing_bucket_or_mount_is_told_apart_from_a_missing_key(description):
    if isinstance(description, Directory):
        nowhere = Directory(path=f"{description.path}/not/mounted")
    else:
        nowhere = description.model_copy(update={"bucket": "no-such-bucket"})
    store = open_store(nowhere)
    for ask in (
        lambda: store.read("a"),
        lambda: store.head("a"),
        lambda: store.get("a", print),
        lambda: list(store.list()),
        lambda: store.abort_uploads(""),
    ):
        with pytest.raises(StoreMissing) as raised:
            ask()
        one_line(raised.value)


def test_an_unreachable_server_is_told_in_one_line_and_bounded_time(description):
    if isinstance(description, Directory):
        pytest.skip("a directory has no server")
    closed = description.model_copy(update={"endpoint": f"http://127.0.0.1:{ports.free()}"})
    began = time.monotonic()
    for ask in (
        lambda: Impatient(closed).read("a"),
        lambda: Impatient(closed).write("a", b"x"),
        lambda: list(Impatient(closed).list()),
        lambda: Impatient(closed).put("a", Stream(content(PART + 1))),
    ):
        with pytest.raises(StoreUnreachable, match="Connection refused") as raised:
            ask()
        one_line(raised.value)
    assert time.monotonic() - began < 20


def one_line(error: OpsError) -> None:
    assert error.hint
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)
    assert " object at 0x" not in str(error)
    assert len(str(error)) < 400
