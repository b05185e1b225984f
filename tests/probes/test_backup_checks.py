"""Whether one could restore, asked of real backups in a real store."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from faulty_proxy import Fault, FaultyProxy
from shelf import Shelf

from ops import S3, Backups, Directory, clock
from ops.checks import Outcome, Result
from ops.environment import Retention
from ops.errors import StoreDenied, StoreError, StoreMissing, StoreUnreachable
from ops.sandbox.shop import Shop
from ops.secrets import Secret, revealed
from ops.worker.catalogue import DUMP, GLOBALS, MANIFEST, VERIFICATION

HOUR, DAY = 3600, 86400


@pytest.fixture
def shelf(shop: Shop, store_s3: S3) -> Shelf:
    """The backups of a small shop, of which there are none, in a bucket."""
    return Shelf(shop, store_s3)


@pytest.fixture(params=["s3", "directory"])
def on_every_store(request: pytest.FixtureRequest, shop: Shop, store_s3: S3, tmp_path) -> Shelf:
    """The same on each kind of store."""
    return Shelf(shop, store_s3 if request.param == "s3" else Directory(path=str(tmp_path / "backups")))


def wrong(found: dict[str, Result]) -> dict[str, str]:
    return {what: one.outcome for what, one in found.items() if one.outcome is not Outcome.PASS}


def test_a_fresh_and_proven_backup_passes_in_every_way(on_every_store: Shelf) -> None:
    shelf = on_every_store
    id = shelf.take()
    assert shelf.worker.ask("drill").code == 0
    for age in (DAY, 2 * DAY):
        shelf.copy(id, age)
    found = shelf.ask(Backups(free=0.000001))
    of_the_disk = ["free"] if isinstance(shelf.worker.store, Directory) else []
    assert list(found) == ["newest", "proven", "size", "damaged", "kept", *of_the_disk]
    assert wrong(found) == {}, found
    assert found["newest"].value.endswith(f"({id})") and found["newest"].limit == "< 26h old"
    assert found["damaged"].value == "none of 3"
    assert not any(one.hint for one in found.values())


def test_a_stale_backup_is_said_and_nothing_else(on_every_store: Shelf) -> None:
    shelf = on_every_store
    id = shelf.move(shelf.take(), 27 * HOUR)
    shelf.prove(id)
    found = shelf.ask(Backups(free=None))
    assert wrong(found) == {"newest": "fail"}
    assert found["newest"].value == f"1d 3h ({id})"
    assert found["newest"].hint == "Type: pyinfra test deploys/backup.py"
    assert wrong(shelf.ask(Backups(newer_than="28h", free=None))) == {}
    assert "newest" not in shelf.ask(Backups(newer_than=None))


def test_where_there_is_no_backup_at_all_it_says_so(shelf: Shelf) -> None:
    found = shelf.ask()
    assert wrong(found) == {"newest": "fail", "proven": "fail"}
    assert found["newest"].value == "there is no backup"
    assert found["proven"].value == "no backup is proven"


def test_a_backup_from_the_future_is_no_fresh_one(shelf: Shelf) -> None:
    id = shelf.move(shelf.take(), -DAY)
    shelf.prove(id)
    found = shelf.ask()
    assert wrong(found) == {"newest": "fail"}
    assert f"{id} is dated" in found["newest"].value and "ahead of the clock here" in found["newest"].value
    shelf.move(id, -clock.SKEW / 2)
    assert wrong(shelf.ask(Backups(proven_within=None))) == {}, "so much honest clocks may differ"


def test_a_proof_that_is_too_old_is_said_and_nothing_else(shelf: Shelf) -> None:
    id = shelf.take()
    shelf.prove(id, 9 * DAY)
    found = shelf.ask()
    assert wrong(found) == {"proven": "fail"}
    assert found["proven"].value == f"9d ({id})"
    assert found["proven"].hint == "Type: pyinfra test deploys/drill.py"
    assert wrong(shelf.ask(Backups(proven_within="10d"))) == {}
    assert wrong(shelf.ask(Backups(proven_within=None))) == {}


def test_a_proof_from_the_future_counts_only_where_there_is_no_other(shelf: Shelf) -> None:
    id = shelf.take()
    shelf.prove(id, -DAY)
    assert "ahead of the clock here" in shelf.ask()["proven"].value
    shelf.prove(shelf.copy(id, 2 * DAY), HOUR)
    assert wrong(shelf.ask()) == {}


def test_a_drill_that_failed_since_the_last_proof_is_said(shelf: Shelf) -> None:
    id = shelf.take()
    shelf.prove(shelf.copy(id, HOUR), HOUR)
    assert wrong(shelf.ask()) == {}
    failed = shelf.copy(id, 60)
    shelf.prove(failed, 30, "table public.orders has 3 rows, the manifest says 4")
    found = shelf.ask()
    assert wrong(found) == {"proven": "fail"}
    assert found["proven"].value == f"the drill of {failed} failed: table public.orders has 3 rows, the manifest says 4"
    shelf.prove(id)
    assert wrong(shelf.ask()) == {}, "a newer proof is the last word"


def test_a_proof_that_cannot_be_read_proves_nothing_and_is_named(shelf: Shelf) -> None:
    id = shelf.take()
    shelf.prove(id)
    key = shelf.catalogue.key(id, VERIFICATION)
    shelf.store.write(key, shelf.store.read(key)[0].replace(b"pass", b"PASS"))
    found = shelf.ask()
    assert wrong(found) == {"proven": "fail"}
    assert found["proven"].value.startswith(f"no backup is proven: {key} is damaged")


@pytest.mark.parametrize(("larger", "outcome"), [(100_000, "fail"), (1_000_000, "pass"), (4_000_000, "warn")])
def test_a_backup_of_another_size_than_those_before_it_is_said(shelf: Shelf, larger: int, outcome: str) -> None:
    id = shelf.take()
    for age, usual in ((6, 9_000_000), (5, 900_000), (4, 1_000_000), (3, 1_100_000), (2, 5_000_000), (1, 1)):
        shelf.copy(id, age * HOUR, usual)
    shelf.prove(shelf.copy(id, 60, larger))
    shelf.remove(id)
    found = shelf.ask()
    assert found["size"].outcome == outcome
    assert "; the 5 before it: 1." in found["size"].value and found["size"].limit.startswith("≥ 0.")
    assert set(wrong(found)) <= {"size"}
    assert bool(found["size"].hint) is (outcome != "pass")
    only = {"fail": Backups(shrinks=None), "warn": Backups(grows=None)}.get(outcome)
    assert wrong(shelf.ask(only)) == {}, "what is not limited is not looked at"
    assert "size" not in shelf.ask(Backups(shrinks=None, grows=None))


def test_of_fewer_than_two_before_it_nobody_knows_what_is_usual(shelf: Shelf) -> None:
    id = shelf.take()
    shelf.prove(id)
    shelf.copy(id, HOUR, 5_000_000)
    found = shelf.ask()
    assert "size" not in found
    assert wrong(found) == {}


def test_damaged_backups_are_named_and_nothing_else(on_every_store: Shelf) -> None:
    shelf = on_every_store
    good = shelf.take()
    shelf.prove(good)
    without, flipped, *more = (shelf.copy(good, age * HOUR) for age in (1, 2, 3, 4))
    store, catalogue = shelf.store, shelf.catalogue
    store.delete([catalogue.key(without, DUMP)])
    key = catalogue.key(flipped, MANIFEST)
    raw = bytearray(store.read(key)[0])
    raw[len(raw) // 2] ^= 1
    store.write(key, bytes(raw))
    found = shelf.ask(Backups(free=None))
    assert wrong(found) == {"damaged": "fail"}
    assert f"{without}: database.dump is gone, {flipped}: {key} is damaged" in found["damaged"].value
    for id in more:
        store.delete([catalogue.key(id, GLOBALS)])
    assert shelf.ask()["damaged"].value.endswith("globals.sql is gone and 1 more")


def test_the_newest_that_is_damaged_does_not_count_as_fresh(shelf: Shelf) -> None:
    id = shelf.take()
    old = shelf.copy(id, 30 * HOUR)
    shelf.prove(old, HOUR)
    shelf.store.delete([shelf.catalogue.key(id, DUMP)])
    found = shelf.ask()
    assert wrong(found) == {"newest": "fail", "damaged": "fail"}
    assert old in found["newest"].value
    shelf.remove(old)
    assert shelf.ask()["newest"].value == "there is no backup; 1 damaged or failed"


def test_what_no_rule_has_kept_for_a_day_and_what_was_never_finished_is_a_warning(shelf: Shelf) -> None:
    id = shelf.take()
    shelf.prove(id)
    older = [shelf.copy(id, age * HOUR) for age in (25, 49, 50)]
    shelf.prove(older[2])
    rules = Retention(newest=1, daily=0, weekly=0, monthly=0).model_dump()
    found = shelf.ask(retention=rules)
    assert wrong(found) == {"kept": "warn"}
    assert found["kept"].value == f"no rule keeps {older[1]}"
    assert found["kept"].hint == "Type: pyinfra test deploys/backup.py"
    shelf.remove(older[1])
    assert wrong(shelf.ask(retention=rules)) == {}, "the first is pushed out by today's, which may yet be pruned"
    begun = clock.stamp(clock.now() - timedelta(days=2))
    just_begun = clock.stamp(clock.now() - timedelta(hours=2))
    for each in (begun, just_begun):
        shelf.store.write(shelf.catalogue.key(each, DUMP), b"half of")
    found = shelf.ask(retention=rules)
    assert found["kept"].value == f"unfinished: {begun}"
    assert "kept" not in shelf.ask(Backups(kept=False))


def test_a_disk_that_is_nearly_full_is_said(shop: Shop, tmp_path) -> None:
    shelf = Shelf(shop, Directory(path=str(tmp_path / "backups")))
    assert shelf.ask(Backups(free=0.000001))["free"].outcome is Outcome.PASS, "before the first backup makes it"
    shelf.prove(shelf.take())
    found = shelf.ask(Backups(free=1))
    assert wrong(found) == {"free": "fail"}
    assert found["free"].value.endswith(" %") and found["free"].limit == "≥ 100 %"
    assert "free" not in shelf.ask(Backups(free=None))


def unreachable(store: S3) -> S3:
    return store.model_copy(update={"endpoint": "http://127.0.0.1:9"})


def wrong_secret(store: S3) -> S3:
    return store.model_copy(update={"secret_key": Secret("S", lambda: "not-the-one")})


def wrong_bucket(store: S3) -> S3:
    return store.model_copy(update={"bucket": "no-such-bucket"})


@pytest.mark.parametrize(
    ("broken", "kind"),
    [(unreachable, StoreUnreachable), (wrong_secret, StoreDenied), (wrong_bucket, StoreMissing)],
)
def test_where_the_store_cannot_be_asked_all_is_unknown_in_one_row(
    shelf: Shelf, broken, kind: type[StoreError]
) -> None:
    assert isinstance(shelf.worker.store, S3)
    shelf.worker.store = broken(shelf.worker.store)
    with pytest.raises(kind):
        shelf.ask()
    checks = [revealed(Backups())]
    answer = shelf.worker.finish(shelf.worker.start("verify", checks=checks, retention=Retention().model_dump()))
    ((found,),) = answer.answer["results"]
    assert (found["outcome"], found["check"], found["what"]) == ("unknown", "backups", "")
    assert found["hint"] and "not-the-one" not in str(found)


def test_a_directory_that_is_not_mounted_is_unknown(shop: Shop, tmp_path) -> None:
    with pytest.raises(StoreMissing):
        Shelf(shop, Directory(path=str(tmp_path / "not-mounted" / "backups"))).ask()


def test_a_store_that_stalls_delays_nothing_past_the_time_of_the_check(shelf: Shelf) -> None:
    assert isinstance(shelf.worker.store, S3) and shelf.worker.store.endpoint
    id = shelf.take()
    for age in range(1, 20):
        shelf.copy(id, age * HOUR)
    with FaultyProxy(shelf.worker.store.endpoint, [Fault("GET", MANIFEST, stall=0)]) as proxy:
        shelf.worker.store = shelf.worker.store.model_copy(update={"endpoint": proxy.url})
        began = time.monotonic()
        answer = shelf.worker.finish(shelf.worker.start("verify", checks=[revealed(Backups(timeout=2))]))
        took = time.monotonic() - began
    ((found,),) = answer.answer["results"]
    assert found["outcome"] == "unknown"
    assert took < 10, f"the worker ended after {took:.1f} s"
