"""One flipped byte anywhere, and whatever else may happen to what lies in the store."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from harness import Site

from ops.errors import BackupDamaged, BackupMissing
from ops.worker import check, drill
from ops.worker.catalogue import DUMP, GLOBALS, MANIFEST, VERIFICATION
from ops.worker.request import Request

pytestmark = pytest.mark.slow


def flipped(content: bytes, place: int) -> bytes:
    """With one bit of one byte turned over."""
    return content[:place] + bytes([content[place] ^ (1 << random.Random(place).randrange(8))]) + content[place + 1 :]


def places(content: bytes, number: int) -> list[int]:
    """The first and the last byte, and random ones of every region between."""
    edges = [len(content) * region // number for region in range(number + 1)]
    chance = random.Random(len(content))
    return [0, *(chance.randrange(*pair) for pair in pairwise(edges)), len(content) - 1]


def request(site: Site, verb: str, **arguments: object) -> Request:
    return Request(**site.request(verb, **arguments))


@pytest.mark.parametrize("file", [DUMP, GLOBALS])
def test_a_flipped_byte_is_found_by_a_check(either: Site, file: str):
    id = either.dump()
    key = either.key(id, file)
    whole, _ = either.opened.read(key)
    for place in places(whole, 6):
        either.opened.write(key, flipped(whole, place))
        with pytest.raises(BackupDamaged, match=rf"{file} does not have the SHA-256"):
            check.run(request(either, "check", backup=id))
        assert either.states() == {id: "failed"}
        either.opened.delete([either.key(id, VERIFICATION)])
    either.opened.write(key, whole)
    check.run(request(either, "check", backup=id))


@pytest.mark.parametrize("file", [DUMP, GLOBALS])
def test_a_flipped_byte_is_found_by_a_drill(either: Site, file: str):
    id = either.dump()
    key = either.key(id, file)
    whole, _ = either.opened.read(key)
    for place in places(whole, 2):
        either.opened.write(key, flipped(whole, place))
        with pytest.raises(BackupDamaged, match=rf"{file} does not have the SHA-256"):
            drill.run(request(either, "drill", backup=id))
        assert either.states() == {id: "failed"}
        assert either.scratch_databases() == []


def test_a_flipped_byte_is_found_while_it_is_streamed(either: Site, small_disk):
    """Where there is no room to fetch it first."""
    id = either.dump()
    key = either.key(id, DUMP)
    whole, _ = either.opened.read(key)
    either.opened.write(key, flipped(whole, len(whole) - 1000))
    run = either.but(temporary=small_disk("1m")).ask("drill")
    run.refuses(BackupDamaged)
    assert "streaming" in run.progress
    assert either.states() == {id: "failed"}
    assert either.scratch_databases() == []


def test_what_failed_is_not_fresh(either: Site):
    id = either.dump()
    either.proves(id)
    key = either.key(id, DUMP)
    whole, _ = either.opened.read(key)
    either.opened.write(key, flipped(whole, len(whole) // 2))
    either.ask("check").refuses(BackupDamaged, "SHA-256.*Use another backup")
    for verb in ("check", "drill", "restore"):
        either.ask(verb).refuses(BackupMissing, "no sound backup .*1 damaged or failed")
    newer = either.ask("dump", max_age=3600).succeeds()
    assert newer["changed"] and newer["backup"]["id"] > id
    again = either.ask("dump", max_age=3600).succeeds()
    assert again == {"changed": False, "backup": again["backup"]}
    assert either.states() == {id: "failed", newer["backup"]["id"]: "unproven"}


def test_a_restore_of_a_flipped_byte_leaves_no_database(site: Site):
    id = site.dump()
    whole, _ = site.opened.read(site.key(id, DUMP))
    site.opened.write(site.key(id, DUMP), flipped(whole, len(whole) // 3))
    site.ask("restore").refuses(BackupDamaged, "SHA-256")
    assert site.databases(f"{site.environment}_restored") == []


def test_a_flipped_byte_in_a_proof_proves_nothing_and_damages_nothing(either: Site):
    id = either.dump()
    either.proves(id)
    key = either.key(id, VERIFICATION)
    whole, _ = either.opened.read(key)
    for place in places(whole, 20):
        either.opened.write(key, flipped(whole, place))
        assert either.states() == {id: "unproven"}, place
    assert f"{VERIFICATION} is damaged" in either.backups()[id].problems[0]
    either.proves(id)


def test_a_flipped_byte_in_a_manifest_is_seen_at_once(either: Site):
    id = either.dump()
    either.proves(id)
    key = either.key(id, MANIFEST)
    whole, _ = either.opened.read(key)
    for place in places(whole, 20):
        either.opened.write(key, flipped(whole, place))
        assert either.states() == {id: "damaged"}, place
    with pytest.raises(BackupDamaged, match=r"manifest\.json is damaged"):
        drill.run(request(either, "drill", backup=id))
    assert either.dump(max_age=3600) != id
    either.opened.write(key, whole)
    assert either.states()[id] == "proven"


@pytest.mark.parametrize("left", [0, -1])
def test_a_truncated_dump_is_seen_at_once(either: Site, left: int):
    id = either.dump()
    whole, _ = either.opened.read(either.key(id, DUMP))
    either.opened.write(either.key(id, DUMP), whole[:left])
    (backup,) = either.backups().values()
    assert backup.state == "damaged"
    assert backup.problems == [f"{DUMP} has {len(whole[:left])} bytes, the manifest says {len(whole)}"]
    with pytest.raises(BackupDamaged, match=r"the manifest says .*Use another one"):
        check.run(request(either, "check", backup=id))
    assert either.dump(max_age=3600) != id


@pytest.mark.parametrize("file", [DUMP, GLOBALS])
def test_a_lost_file_is_seen_at_once(either: Site, file: str):
    id = either.dump()
    either.opened.delete([either.key(id, file)])
    (backup,) = either.backups().values()
    assert (backup.state, backup.problems) == ("damaged", [f"{file} is gone"])
    either.recovers()


def test_a_lost_manifest_unmakes_the_backup(either: Site):
    id = either.dump()
    either.opened.delete([either.key(id, MANIFEST)])
    assert either.states() == {}
    with pytest.raises(BackupMissing):
        check.run(request(either, "check"))
    either.recovers()


def test_a_lost_verification_unmakes_the_proof(either: Site):
    id = either.dump()
    either.proves(id)
    either.opened.delete([either.key(id, VERIFICATION)])
    assert either.states() == {id: "unproven"}


@pytest.mark.parametrize("what", ["id", "environment", "database"])
def test_the_manifest_of_another_is_seen_at_once(either: Site, what: str):
    id = either.dump()
    other = either
    if what == "environment":
        other = either.but(environment=f"{either.environment}-other")
    if what == "database":
        other = either.with_database(database="postgres", user="postgres", password=either.postgres.password)
    others_id = other.dump()
    manifest, _ = other.opened.read(other.key(others_id, MANIFEST))
    either.opened.write(either.key(id, MANIFEST), manifest)
    backup = either.backups()[id]
    assert backup.state == "damaged"
    assert "is the manifest of " in backup.problems[0]
    with pytest.raises(BackupDamaged, match="is the manifest of"):
        drill.run(request(either, "drill", backup=id))


def test_the_dump_of_another_is_found(either: Site):
    id = either.dump()
    other = either.with_database(database="postgres", user="postgres", password=either.postgres.password)
    dump, _ = other.opened.read(other.key(other.dump(), DUMP))
    either.opened.write(either.key(id, DUMP), dump)
    with pytest.raises(BackupDamaged, match="the manifest says"):
        check.run(request(either, "check", backup=id))


def test_the_proof_of_another_proves_nothing(either: Site):
    id, other = either.dump(), either.dump()
    either.proves(other)
    proof, _ = either.opened.read(either.key(other, VERIFICATION))
    either.opened.write(either.key(id, VERIFICATION), proof)
    backup = either.backups()[id]
    assert backup.state == "unproven"
    assert "belongs to another backup" in backup.problems[0]
