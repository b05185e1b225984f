"""Disks without room: where backups lie, where they are fetched to, and the scratch server's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
from harness import Site

from ops import Directory
from ops.errors import StoreError, ToolError
from ops.sandbox import privileges


def test_a_dump_into_a_full_directory(large_site: Callable[[], Site], small_disk: Callable[[str], Path]):
    place = small_disk("4m")
    site = large_site().but(store=Directory(path=str(place / "backups")))
    run = site.ask("dump")
    run.refuses(StoreError, "No space left on device.*Make room")
    site.keeps_its_word({}, run)
    site.is_clean()
    assert [path.name for path in place.rglob("*") if path.is_file()] == [".lock", "backup.lock"]


def test_a_directory_that_fills_up_at_any_byte(site: Site, small_disk: Callable[[str], Path]):
    """Down to one with room for the dump and not for the manifest."""
    place = small_disk("512k")
    full = site.but(store=Directory(path=str(place / "backups")))
    known = {full.dump(): "unproven"}
    ballast = place / "ballast"
    refused = 0
    for left in (0, 4, 8, 12, 16, 60, 64, 72, 76, 80):  # KiB
        ballast.write_bytes(b"")
        free = _free(place)
        ballast.write_bytes(b"x" * max(0, free - left * 1024))
        run = full.ask("dump")
        if not run.succeeded:
            refused += 1
            run.refuses(StoreError, "No space left on device")
        full.keeps_its_word(known, run)
        known = full.states()
    assert refused > 4
    ballast.unlink()
    full.recovers()


def test_a_drill_without_room_to_fetch_the_dump_streams_it(site: Site, small_disk: Callable[[str], Path]):
    id = site.dump()
    run = site.but(temporary=small_disk("1m")).ask("drill")
    assert run.succeeds()["backup"]["state"] == "proven"
    assert "no room for" in run.progress
    assert site.states() == {id: "proven"}
    assert site.scratch_databases() == []


def test_a_scratch_server_without_room_says_nothing_about_the_backup(
    large_site: Callable[[], Site], small_disk: Callable[[str], Path]
):
    """The new database is put on a small disk by the role's own setting."""
    site = large_site()
    id = site.dump()
    place = small_disk("12m")
    with psycopg.connect(site.postgres.url(), autocommit=True) as connection:
        role = f"{site.environment}_role"
        privileges.own(place)
        connection.execute(f"CREATE TABLESPACE {role} LOCATION '{place}'")
        connection.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'small-disk'")
        connection.execute(f"ALTER ROLE {role} SET default_tablespace = {role}")
    run = site.with_server(user=role, password="small-disk").ask("drill")
    run.refuses(ToolError, "No space left.*Free disk space")
    assert site.states() == {id: "unproven"}
    assert site.scratch_databases() == []
    with psycopg.connect(site.postgres.url(), autocommit=True) as connection:
        connection.execute(f"DROP ROLE {role}")
        connection.execute(f"DROP TABLESPACE {role}")
    site.proves(id)


def _free(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize
