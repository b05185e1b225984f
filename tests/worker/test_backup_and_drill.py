"""A backup, from the worker's side: what it holds, what a drill finds, and what happens while others write."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg
import pytest

from ops.stores import open_store
from ops.worker.catalogue import Catalogue
from ops.worker.manifest import seal


def connect(shop, **more):
    return psycopg.connect(shop.url, autocommit=True, **more)


def test_a_backup_is_taken_listed_checked_proven_and_restored(on_every_store, postgres):
    worker = on_every_store
    taken = worker.ask("dump").backup
    assert taken["state"] == "unproven"
    assert taken["rows"] > 1000
    assert worker.ask("check").code == 0
    proven = worker.ask("drill").backup
    assert proven["state"] == "proven"
    assert proven["restore_seconds"] > 0
    (listed,) = worker.ask("list").answer["backups"]
    assert (listed["id"], listed["state"], listed["keep"]) == (taken["id"], "proven", True)
    restored = worker.ask("restore", target=f"{worker.shop.name}_restored")
    assert restored.code == 0, restored.answer
    with closing(psycopg.connect(postgres.url(f"{worker.shop.name}_restored"))) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone()[0] > 0


def test_a_restore_never_touches_a_database_that_exists(worker):
    worker.ask("dump")
    refused = worker.ask("restore", target=worker.shop.name)
    assert refused.code == 1
    assert "exists already" in refused.answer["message"]


def test_a_backup_younger_than_allowed_is_enough_also_under_the_lock(worker):
    assert worker.ask("dump", max_age=60).answer["changed"] is True
    assert worker.ask("dump", max_age=60).answer["changed"] is False
    assert worker.ask("dump", max_age=0).answer["changed"] is True


def test_a_drill_is_not_repeated_without_need(worker):
    worker.ask("dump")
    assert worker.ask("drill").answer["changed"] is True
    assert worker.ask("drill").answer["changed"] is False
    worker.ask("dump")
    assert worker.ask("drill", max_age=3600).answer["changed"] is False, "another one was proven a moment ago"
    assert worker.ask("drill").answer["changed"] is True, "the newest is not proven"


def test_what_is_written_while_the_dump_runs_makes_no_difference(worker):
    """Rows are counted in the dump's own snapshot; sequences, which are in none, are known within bounds."""
    with connect(worker.shop) as connection:
        connection.execute("CREATE TABLE busy (id bigserial PRIMARY KEY, text text)")
        connection.execute("INSERT INTO busy (text) SELECT repeat('x', 50) FROM generate_series(1, 50000)")
    over, written = threading.Event(), []

    def write():
        with connect(worker.shop) as connection:
            while not over.is_set():
                connection.execute("INSERT INTO busy (text) SELECT 'y' FROM generate_series(1, 100)")
                connection.execute("DELETE FROM busy WHERE id IN (SELECT id FROM busy LIMIT 30)")
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            worker.ask("dump")
            drilled = worker.ask("drill")
            assert drilled.code == 0, drilled.answer
    finally:
        over.set()
        writer.join()
    assert written


def test_names_and_values_that_need_quoting_survive(worker):
    with connect(worker.shop) as connection:
        connection.execute('CREATE SCHEMA "We""ird Schema"')
        connection.execute(
            'CREATE TABLE "We""ird Schema"."Tä ble; DROP" ("a b" int GENERATED ALWAYS AS IDENTITY, "日本" text)'
        )
        connection.execute(
            """INSERT INTO "We""ird Schema"."Tä ble; DROP" ("日本") VALUES ('‮rtl 🎉'), (E'\\\\N'), (NULL)"""
        )
        connection.execute("CREATE TABLE empty ()")
    worker.ask("dump")
    drilled = worker.ask("drill")
    assert drilled.code == 0, drilled.answer


def test_an_empty_database_can_be_backed_up_and_proven(worker, postgres):
    with connect(worker.shop) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    taken = worker.ask("dump").backup
    assert (taken["tables"], taken["rows"]) == (0, 0)
    assert worker.ask("drill").code == 0


def test_large_objects_row_level_security_and_unlogged_tables(worker):
    with connect(worker.shop) as connection:
        connection.execute("SELECT lo_from_bytea(0, decode('00ff', 'hex'))")
        connection.execute("CREATE UNLOGGED TABLE fast (i int); INSERT INTO fast SELECT generate_series(1, 10)")
        connection.execute("CREATE TABLE guarded (i int); INSERT INTO guarded VALUES (1), (2)")
        connection.execute("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON guarded USING (false)")
    worker.ask("dump")
    assert worker.ask("drill").code == 0


def test_rows_that_security_hides_are_an_error_and_no_backup(worker, postgres):
    with connect(worker.shop) as connection:
        connection.execute("CREATE TABLE guarded (i int); INSERT INTO guarded VALUES (1), (2)")
        connection.execute("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY")
        connection.execute("ALTER TABLE guarded FORCE ROW LEVEL SECURITY")
    refused = worker.ask("dump")
    assert refused.code == 1
    assert "row-level security" in refused.answer["message"]
    assert refused.answer["hint"]
    assert worker.ask("list").answer["backups"] == []


def test_a_restore_without_room_for_the_dump_is_streamed(worker, tmp_path, monkeypatch):
    """The same result with one job, and the hash still decides."""
    import os
    import shutil

    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    small = tmp_path / "small"
    small.mkdir()
    import subprocess

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", small], check=True)
    try:
        worker.ask("dump")
        drilled = worker.finish(worker.start("drill", env={"PATH": os.environ["PATH"], "TMPDIR": str(small)}))
        assert drilled.code == 0, drilled.answer
        assert any("streaming, with one job" in line for line in drilled.progress)
    finally:
        subprocess.run(["umount", small], check=True)
        shutil.rmtree(small)


def test_the_manifest_says_what_was_dumped(worker, postgres):
    id = worker.ask("dump").backup["id"]
    manifest = Catalogue(open_store(worker.store), "test", worker.shop.name).load(id).manifest
    assert manifest.server_version.startswith("17.")
    assert manifest.compression == "zstd:1"
    assert manifest.dump.size > 0
    assert "/" in manifest.lsn
    with connect(worker.shop) as connection:
        for table in manifest.tables:
            counted = connection.execute(f'SELECT count(*) FROM ONLY "{table.schema_name}"."{table.name}"').fetchone()
            assert counted == (table.rows,)
    assert set(manifest.seconds) == {"dump", "count"}


def test_another_databases_backups_are_not_ours(worker):
    worker.ask("dump")
    assert worker.ask("list", database_name="other").answer["backups"] == []
    assert worker.ask("list", environment="other").answer["backups"] == []


def test_a_verb_that_does_not_exist_and_a_request_that_is_none_are_one_line():
    import subprocess
    import sys

    wrong = subprocess.run([sys.executable, "-m", "ops.worker", "destroy"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "usage: python -m ops.worker VERB" in wrong.stderr
    for request in ("", "{}", "nonsense"):
        wrong = subprocess.run(
            [sys.executable, "-m", "ops.worker", "list"], input=request, capture_output=True, text=True
        )
        assert wrong.returncode == 1
        assert '"error"' in wrong.stdout
        assert "Traceback" not in wrong.stderr


def test_a_backup_from_the_future_is_never_fresh(worker):
    """As if it had been taken while the clock was ahead: it would stop all others for years."""
    taken = worker.ask("dump").backup["id"]
    store = open_store(worker.store)
    catalogue = Catalogue(store, "test", worker.shop.name)
    future = "2051-01-01T00-00-00Z"
    manifest = catalogue.load(taken).manifest.model_copy(update={"id": future})
    for file in ("database.dump", "globals.sql"):
        store.write(catalogue.key(future, file), store.read(catalogue.key(taken, file))[0])
    store.write(catalogue.key(future, "manifest.json"), seal(manifest))
    store.delete(catalogue.files(taken))
    again = worker.ask("dump", max_age=3600)
    assert again.answer["changed"] is True
    assert any("from the future" in line for line in again.progress)


def test_a_named_backup_is_drilled_again_even_when_it_is_proven(worker):
    """Only a new look finds what has rotted since."""
    id = worker.ask("dump").backup["id"]
    assert worker.ask("drill").answer["changed"] is True
    assert worker.ask("drill", backup=id).answer["changed"] is True
    store = open_store(worker.store)
    key = Catalogue(store, "test", worker.shop.name).key(id, "database.dump")
    rotten = bytearray(store.read(key)[0])
    rotten[len(rotten) // 2] ^= 1
    store.write(key, bytes(rotten))
    refused = worker.ask("drill", backup=id)
    assert refused.code == 1
    assert worker.ask("list").answer["backups"][0]["state"] == "failed"


def test_a_name_that_libpq_would_change_is_refused(worker):
    worker.ask("dump")
    for target, words in ((f"{worker.shop.name} ", "blank"), ("x" * 64, "63 bytes")):
        refused = worker.ask("restore", target=target)
        assert refused.code == 1
        assert words in refused.answer["message"]


def test_limits_that_the_role_has_set_do_not_end_a_dump(worker, postgres):
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        for setting in ("statement_timeout", "transaction_timeout", "idle_session_timeout", "lock_timeout"):
            connection.execute(f"ALTER DATABASE {worker.shop.name} SET {setting} = '250ms'")
    taken = worker.ask("dump")
    assert taken.code == 0, taken.answer
