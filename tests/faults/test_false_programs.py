"""A pg_dump that lies is believed until a drill; what it wrote is never called proven."""

from __future__ import annotations

import pytest
from false_programs import false_program
from harness import Site

from ops.errors import BackupDamaged

LIES = [
    ("ends early and calls it done", '"$real" "$@" | head -c 20000', "cannot be restored"),
    ("leaves out a table", '"$real" --exclude-table=orders "$@"', "cannot be restored.*orders.*Take a new backup"),
    (
        "leaves out the rows of a table",
        '"$real" --exclude-table-data="events*" "$@"',
        r"events\w* has 0 rows, the manifest says",
    ),
    ("leaves out the indexes", '"$real" --section=pre-data --section=data "$@"', "differs: "),
    (
        "dumps another, empty database",
        "for word; do shift; case $word in --snapshot=*) ;;"
        ' --dbname=*) set -- "$@" "--dbname=service=ops dbname=template1";;'
        ' *) set -- "$@" "$word";; esac; done; "$real" "$@"',
        "table .* is missing",
    ),
]


@pytest.mark.parametrize(("script", "words"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_a_drill_finds_out_a_pg_dump_that(site: Site, script: str, words: str):
    directory = false_program(site.temporary.parent, site.postgres.bin_dir, "pg_dump", script)
    lied = site.with_database(bin_dir=directory).ask("dump").succeeds()["backup"]
    assert lied["state"] == "unproven"
    site.ask("drill").refuses(BackupDamaged, words)
    assert site.states() == {lied["id"]: "failed"}
    assert site.scratch_databases() == []
    assert site.ask("dump", max_age=3600).succeeds()["changed"]
