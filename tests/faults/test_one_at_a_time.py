"""Two runs at once, runs that were killed or interrupted, and a store that cannot keep two runs apart."""

from __future__ import annotations

import json
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import psutil
import psycopg
import pytest
from harness import Site
from link import Link

from ops import S3
from ops.errors import LockHeld, WeakStore, WorkerFailed
from ops.sandbox import ports

pytestmark = pytest.mark.slow

SLOW = 4e6


@pytest.fixture
def slow(large_site: Callable[[], Site]) -> Iterator[tuple[Site, Site]]:
    """A site, and the same with a slow line to its database."""
    site = large_site()
    with Link(site.postgres.port, rate=SLOW) as link:
        yield site, site.with_database(port=link.port).with_server(port=link.port)


@pytest.mark.parametrize(("verb", "program"), [("dump", "pg_dump"), ("drill", "pg_restore")])
def test_of_two_runs_at_once_one_is_told_who_is_at_work(slow: tuple[Site, Site], verb: str, program: str):
    site, behind = slow
    if verb == "drill":
        site.dump()
    first = behind.begin(verb)
    first.child(program)
    second = site.ask(verb)
    second.refuses(LockHeld, rf"tester@here holds the lock for a {'backup' if verb == 'dump' else 'drill of'}.*"
                             rf"process {first.process.pid} on .*Wait for it to end")  # fmt: skip
    first.wait().succeeds()
    site.keeps_its_word({} if verb == "dump" else site.states(), first, second)
    site.is_clean()


def test_of_two_runs_begun_at_the_same_moment_only_one_works(site: Site):
    for _ in range(2):
        known = site.states()
        runs = [site.begin("dump"), site.begin("dump")]
        for run in runs:
            run.wait()
        for run in runs:
            if not run.succeeded:
                run.refuses(LockHeld, "tester@here holds the lock")
        assert any(run.succeeded for run in runs)
        site.keeps_its_word(known, *runs)
        site.is_clean()


@pytest.mark.parametrize("verb", ["dump", "drill"])
def test_the_lock_of_a_killed_run_on_this_machine_is_taken_over_at_once(slow: tuple[Site, Site], verb: str):
    site, behind = slow
    if verb == "drill":
        site.dump()
    first = behind.begin(verb)
    first.child("pg_dump" if verb == "dump" else "pg_restore")
    first.process.kill()
    first.wait()
    second = site.ask(verb)
    second.succeeds()
    assert second.seconds < 20
    site.is_clean()
    assert site.scratch_databases() == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize("verb", ["dump", "drill"])
def test_an_interrupted_run_cleans_up_and_answers(slow: tuple[Site, Site], verb: str, name: str):
    site, behind = slow
    known = {}
    if verb == "drill":
        site.dump()
        known = site.states()
    run = behind.begin(verb)
    run.child("pg_dump" if verb == "dump" else "pg_restore")
    time.sleep(0.3)
    run.process.send_signal(signal.Signals[name])
    run.wait().refuses(WorkerFailed, "interrupted; what it had begun is cleaned up. Run it again")
    assert run.seconds < 20
    assert site.states() == known
    assert site.scratch_databases() == []
    assert [key for key in keys(site) if not key.endswith(".lock")] == [key for id in known for key in files(site, id)]
    site.is_clean()
    site.ask(verb).succeeds()


def test_a_run_that_is_interrupted_again_and_again_still_cleans_up(slow: tuple[Site, Site]):
    site, behind = slow
    run = behind.begin("dump")
    run.child("pg_dump")
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        run.process.send_signal(name)
        time.sleep(0.05)
    run.wait().refuses(WorkerFailed, "interrupted")
    assert [key for key in keys(site) if not key.endswith(".lock")] == []
    site.is_clean()


def test_a_run_interrupted_at_its_very_start_answers(site: Site):
    for moment in (0.15, 0.3, 0.45):
        run = site.but(hasty=False).begin("dump")
        time.sleep(moment)
        run.process.send_signal(signal.SIGTERM)
        run.wait()
        # Before the first line of ours Python itself ends it, having done nothing yet.
        assert run.process.returncode == -signal.SIGTERM or run.succeeded or run.answer["error"] == "WorkerFailed"
        site.is_clean()


def test_a_run_that_stood_still_writes_no_manifest_once_its_lock_is_lost(slow: tuple[Site, Site]):
    """As after a night's sleep of a notebook: somebody else took the lock over meanwhile."""
    site, behind = slow
    run = behind.begin("dump")
    run.child("pg_dump")
    worker = psutil.Process(run.process.pid)
    worker.suspend()
    lock = f"{site.catalogue.prefix}backup.lock"
    _, etag = site.opened.read(lock)
    site.opened.replace(lock, json.dumps({"owner": "another@there", "held": True}).encode(), etag)
    worker.resume()
    run.wait().refuses(LockHeld, "taken over while this run stood still")
    assert site.states() == {}
    site.opened.delete([lock])
    site.is_clean()


def test_a_migration_that_rewrites_a_table_while_the_backup_begins_loses_no_row(own_site: Site):
    """To a snapshot from before, a table that was rewritten since looks empty."""
    url = own_site.postgres.url(own_site.database.name())
    with psycopg.connect(url) as migration, psycopg.connect(url, autocommit=True) as looking:
        migration.execute("ALTER TABLE customers ADD COLUMN token uuid DEFAULT gen_random_uuid()")
        (count,) = migration.execute("SELECT count(*) FROM customers").fetchone() or (0,)
        run = own_site.begin("dump")
        while not looking.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount:
            time.sleep(0.02)
            assert run.process.poll() is None
        migration.commit()
    run.wait().succeeds()
    (backup,) = own_site.backups().values()
    assert backup.manifest
    assert {str(table): table.rows for table in backup.manifest.tables}["public.customers"] == count > 0
    own_site.proves(backup.id)


def test_a_table_dropped_while_dumping_is_in_the_dump_and_nobody_waits_for_ever(own_site: Site):
    """Who would drop it waits for the end of the backup, and nothing in the backup may wait for him."""
    url = own_site.postgres.url(own_site.database.name())
    with psycopg.connect(url, autocommit=True) as owner, psycopg.connect(url, autocommit=True) as looking:
        for number in range(40):
            owner.execute(f"CREATE TABLE many_{number} AS SELECT 1")
            owner.execute(f"GRANT SELECT ON many_{number} TO {own_site.database.user}")
        owner.execute("CREATE TABLE doomed AS SELECT generate_series(1, 7)")
        owner.execute(f"GRANT SELECT ON doomed TO {own_site.database.user}")
        with Link(own_site.postgres.port, delay=0.03) as link, ThreadPoolExecutor(1) as beside:
            run = own_site.with_database(port=link.port).begin("dump")
            locks = "SELECT FROM pg_locks WHERE relation = 'doomed'::regclass AND granted"
            while looking.execute(locks).rowcount < 2:  # the worker's and pg_dump's
                time.sleep(0.01)
                assert run.process.poll() is None
            dropped = beside.submit(owner.execute, "DROP TABLE doomed, many_39")
            run.wait(timeout=60).succeeds()
            dropped.result()
    (backup,) = own_site.backups().values()
    assert backup.manifest
    assert {str(table): table.rows for table in backup.manifest.tables}["public.doomed"] == 7
    own_site.proves(backup.id)


@pytest.fixture
def weak_store(tmp_path: Path) -> Iterator[S3]:
    """A server that takes conditional writes and ignores the condition."""
    port = ports.free()
    store = S3(
        endpoint=f"http://127.0.0.1:{port}", bucket="backups", access_key="AKIAEXAMPLE", secret_key="example-key"
    )
    command = [f"{sysconfig.get_path('scripts')}/nanio", "serve", "--host=127.0.0.1", f"--port={port}"]
    keys = {"NANIO_ACCESS_KEY": "AKIAEXAMPLE", "NANIO_SECRET_KEY": "example-key", "PATH": "/usr/bin:/bin"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, f"--data-dir={tmp_path / 'nanio'}"], env=keys, **silent) as server:
        client = boto3.client("s3", "us-east-1", None, True, None, store.endpoint, "AKIAEXAMPLE", "example-key")
        for _ in range(100):
            try:
                client.create_bucket(Bucket="backups")
                break
            except Exception:
                time.sleep(0.1)
        yield store
        server.terminate()


def test_a_store_that_cannot_keep_two_runs_apart_is_refused_before_anything_is_dumped(site: Site, weak_store: S3):
    weak = site.but(store=weak_store)
    run = weak.ask("dump")
    run.refuses(WeakStore, r"s3://backups at http://127.0.0.1:\d+ .*If-None-Match.*SeaweedFS or a directory")
    assert "dumping" not in run.progress
    assert keys(weak) == []


def keys(site: Site) -> list[str]:
    """All that lies in the store."""
    return [entry.key for entry in site.opened.list()]


def files(site: Site, id: str) -> list[str]:
    """All that a complete and unproven backup consists of."""
    return [site.key(id, file) for file in ("database.dump", "globals.sql", "manifest.json")]
