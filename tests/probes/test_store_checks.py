"""Whether the store can be reached and read, asked with keys that may do all, little, and nothing."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from asked import Asked
from faulty_proxy import Fault, FaultyProxy
from identities import ServerWithIdentities
from servers import running

from ops import S3, BackupOf, Backups, Directory, ObjectStore, probes
from ops.checks import Outcome, Result
from ops.environment import Retention
from ops.errors import StoreDenied, StoreUnreachable
from ops.sandbox.shop import Shop
from ops.secrets import revealed
from ops.storage import AnyStore
from ops.stores import open_store
from ops.worker.origin import OfBackup
from ops.worker.pulse import Pulse
from ops.worker.request import Request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWithIdentities]:
    """An S3 server with keys that may only read, only list, or neither."""
    server = ServerWithIdentities(tmp_path_factory.mktemp("s3"))
    with running(server):
        yield server


@pytest.fixture
def prefix() -> str:
    return f"test-{secrets.token_hex(4)}"


def request(store: AnyStore) -> Request:
    return Request(environment="test", database_name="shop", owner="tests@here", store=revealed(store))


def ask(store: AnyStore, timeout: float = 10) -> Result:
    (found,) = probes.ask(ObjectStore(timeout=timeout), request(store))
    return found


def held(store: AnyStore) -> list[tuple[str, str]]:
    return [(entry.key, entry.etag) for entry in open_store(store).list()]


def test_a_store_passes_whether_or_not_anything_lies_in_it(store_s3: S3, tmp_path: Path) -> None:
    for store in (store_s3, Directory(path=str(tmp_path / "backups"))):
        found = ask(store)
        assert found.outcome is Outcome.PASS
        assert found.value.startswith("0 objects listed in 0.")
        open_store(store).write("test/shop/2026-11-21T10-00-00Z/database.dump", b"a dump")
        assert ask(store).value.startswith("1 object listed, one read in 0.")


def test_who_may_only_read_passes_and_writes_nothing(shop: Shop, server: ServerWithIdentities, prefix: str) -> None:
    owner, reader = server.description(prefix), server.seen_by("reader", prefix)
    worker = Asked(shop, owner)
    assert worker.ask("dump").code == 0
    assert worker.ask("drill").code == 0
    before = held(owner)
    with pytest.raises(StoreDenied):
        open_store(reader).write("test/anything", b"")
    worker.store = reader
    checks = [revealed(one) for one in (ObjectStore(), Backups())]
    answer = worker.finish(worker.start("verify", checks=checks, retention=Retention().model_dump()))
    found = [one for each in answer.answer["results"] for one in each]
    assert [one["what"] for one in found] == ["", "newest", "proven", "damaged", "kept"]
    assert {one["outcome"] for one in found} == {"pass"}, found
    origin = OfBackup(BackupOf(environment="test", database=shop.name, store=reader), None)
    with Pulse(60, shop.description(), shop.name) as pulse, origin.archive(pulse) as dump:
        assert dump.seek(0) == 0 and dump.read(5) == b"PGDMP", "a refresh needs no more"
    assert held(owner) == before


@pytest.mark.parametrize("who", ["stranger", "lister"])
def test_who_may_not_list_or_not_read_fails_and_is_told_what_is_wrong(
    server: ServerWithIdentities, prefix: str, who: str
) -> None:
    open_store(server.description(prefix)).write("test/shop/2026-11-21T10-00-00Z/manifest.json", b"{}")
    found = ask(server.seen_by(who, prefix))
    assert found.outcome is Outcome.FAIL
    assert "refused (AccessDenied)" in found.value and "whether they may read" in found.hint
    assert "secret-of-the" not in str(dataclasses.asdict(found))


def test_a_key_that_does_not_exist_and_a_bucket_that_does_not_fail(server: ServerWithIdentities, prefix: str) -> None:
    found = ask(server.seen_by("nobody", prefix))
    assert found.outcome is Outcome.FAIL and "InvalidAccessKeyId" in found.value
    found = ask(server.description(prefix).model_copy(update={"bucket": "no-such-bucket"}))
    assert found.outcome is Outcome.FAIL and "there is no bucket no-such-bucket" in found.value
    assert "Create it" in found.hint


def test_a_directory_whose_disk_is_not_mounted_fails(tmp_path: Path) -> None:
    found = ask(Directory(path=str(tmp_path / "not-mounted" / "backups")))
    assert found.outcome is Outcome.FAIL
    assert "to hold backups" in found.value and found.hint == "Mount it, or create it"


def test_a_store_that_refuses_connections_or_answers_wrongly_fails(store_s3: S3) -> None:
    assert store_s3.endpoint
    found = ask(store_s3.model_copy(update={"endpoint": "http://127.0.0.1:9"}))
    assert found.outcome is Outcome.FAIL and "Connection refused" in found.value
    with FaultyProxy(store_s3.endpoint, [Fault("GET", answer=503)]) as proxy:
        found = ask(store_s3.model_copy(update={"endpoint": proxy.url}))
        assert found.outcome is Outcome.FAIL and "503 SlowDown" in found.value
    with FaultyProxy(store_s3.endpoint, [Fault("GET", answer=503, times=1)]) as proxy:
        assert ask(store_s3.model_copy(update={"endpoint": proxy.url})).outcome is Outcome.PASS, "once is no failure"


def test_a_store_that_does_not_answer_fails_within_the_time_of_the_check(store_s3: S3) -> None:
    assert store_s3.endpoint
    with FaultyProxy(store_s3.endpoint, [Fault("GET", stall=0)]) as proxy:
        began = time.monotonic()
        found = ask(store_s3.model_copy(update={"endpoint": proxy.url}), timeout=3)
        took = time.monotonic() - began
    assert found.outcome is Outcome.FAIL and "no connection" in found.value
    assert took < 4, f"after {took:.1f} s"


def test_a_store_whose_name_cannot_be_resolved_is_unknown(store_s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with pytest.raises(StoreUnreachable):
        ask(store_s3.model_copy(update={"endpoint": "https://store.invalid"}))
