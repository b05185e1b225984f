"""``kill -9`` at ten random moments of each of four processes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from databases import described, make_large
from harness import Run, Site
from link import Link, moments
from servers import FAST, running

from ops import Directory
from ops.errors import StoreUnreachable, ToolError
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.s3 import S3Server
from ops.sandbox.server import Server

MOMENTS = 10
SLOW = 8e6
"""Bytes a second, at which the larger database takes some 2 seconds."""

pytestmark = pytest.mark.slow


@pytest.fixture
def seed(record_property: Callable[[str, object], None]) -> int:
    """Another one each time; printed when a test fails."""
    seed = random.randrange(10_000)
    print(f"seed {seed}")
    return seed


def killed(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def test_the_worker_while_it_dumps(large_site: Callable[[], Site], seed: int):
    with Link(large_site().postgres.port, rate=SLOW) as link, ThreadPoolExecutor(4) as pool:

        def kill(moment: float) -> tuple[Site, Run]:
            site = large_site()
            run = site.with_database(port=link.port).begin("dump")
            time.sleep(moment)
            run.process.kill()
            return site, run.wait()

        done = list(pool.map(kill, moments(seed, MOMENTS, 0.1, 3.5)))
    assert sum(run.process.returncode == -9 for _, run in done) > MOMENTS / 2
    for site, run in done:
        assert run.succeeded or not run.output
        site.keeps_its_word({}, run)
        site.recovers()


def test_pg_dump(large_site: Callable[[], Site], seed: int):
    with Link(large_site().postgres.port, rate=SLOW) as link, ThreadPoolExecutor(4) as pool:

        def kill(moment: float) -> tuple[Site, Run]:
            site = large_site()
            run = site.with_database(port=link.port).begin("dump")
            pg_dump = run.child("pg_dump")
            time.sleep(moment)
            killed(pg_dump)
            return site, run.wait()

        done = list(pool.map(kill, moments(seed, MOMENTS, 0, 1.8)))
    for site, run in done:
        if not run.succeeded:
            run.refuses(ToolError, "pg_dump was killed by signal 9")
        site.keeps_its_word({}, run)
    assert sum(run.succeeded for _, run in done) < MOMENTS / 2
    for site, _ in done[:3]:
        site.recovers()


@pytest.mark.parametrize(
    ("which", "words"), [("itself", "pg_restore was killed by signal 9"), ("one of its jobs", "a worker process died")]
)
def test_pg_restore(large_site: Callable[[], Site], seed: int, which: str, words: str):
    site = large_site()
    id = site.dump()
    for moment in moments(seed, 2, 0, 0.3):
        run = site.begin("drill")
        target = pg_restore = run.child("pg_restore")
        if which == "one of its jobs":
            while not (jobs := pg_restore.children()):
                assert pg_restore.is_running()
            target = jobs[0]
        time.sleep(moment)
        killed(target)
        if run.wait().succeeded:
            break
        run.refuses(ToolError, words)
        assert site.states() == {id: "unproven"}
        assert site.scratch_databases() == []
    site.proves(id)


def test_the_worker_while_it_drills(large_site: Callable[[], Site], seed: int):
    site = large_site()
    id = site.dump()
    for moment in moments(seed, 4, 0.3, 2):
        run = site.begin("drill")
        time.sleep(moment)
        run.process.kill()
        run.wait()
        # Whether it was killed before or after it had compared everything.
        assert site.states()[id] == "unproven" or site.scratch_databases() == []
    site.proves(id)


def test_postgres(own_postgres: PostgresServer, large_site: Callable[[], Site], seed: int):
    """Ten runs begin at random moments before it is killed: seven dumps and three drills."""
    database = described(own_postgres, "large", own_postgres.user, own_postgres.password)
    sites = [large_site().but(postgres=own_postgres, database=database, server=database) for _ in range(MOMENTS)]
    known = [{site.dump(): "unproven"} if number < 3 else {} for number, site in enumerate(sites)]
    with Link(own_postgres.port, rate=SLOW / 3) as link:

        def begin(number: int, moment: float) -> Run:
            time.sleep(moment)
            verb = "drill" if known[number] else "dump"
            return sites[number].with_database(port=link.port).with_server(port=link.port).begin(verb)

        with ThreadPoolExecutor(MOMENTS) as pool:
            runs = list(pool.map(begin, range(MOMENTS), moments(seed, MOMENTS, 0, 4)))
        kill(own_postgres)
        for run in runs:
            run.wait()
    own_postgres.start()
    for site, run, before in zip(sites, runs, known, strict=True):
        if not run.succeeded:
            run.refuses(None, r"server|connection|Connection refused")
        site.keeps_its_word(before, run)
        assert run.succeeded or site.states() == before
    assert sum(run.succeeded for run in runs) < MOMENTS / 2
    for site, before in zip(sites[2:5], known[2:5], strict=True):
        site.recovers()
        if before:
            site.proves(*before)


def test_the_s3_server(own_s3: S3Server, large_site: Callable[[], Site], seed: int):
    """Ten dumps begin at random moments before it is killed."""
    sites = []
    for _ in range(MOMENTS):
        site = large_site()
        keys = {"endpoint": own_s3.endpoint, "access_key": own_s3.access_key, "secret_key": own_s3.secret_key}
        sites.append(site.with_store(bucket=own_s3.bucket, **keys))
    with Link(sites[0].postgres.port, rate=SLOW / 3) as link:

        def begin(site: Site, moment: float) -> Run:
            time.sleep(moment)
            return site.with_database(port=link.port).begin("dump")

        with ThreadPoolExecutor(MOMENTS) as pool:
            runs = list(pool.map(begin, sites, moments(seed, MOMENTS, 0, 4)))
        kill(own_s3)
        for run in runs:
            run.wait()
    own_s3.start()
    for site, run in zip(sites, runs, strict=True):
        if not run.succeeded:
            run.refuses(StoreUnreachable, "no connection")
        site.keeps_its_word({}, run)
    assert sum(run.succeeded for run in runs) < MOMENTS / 2
    for site in sites:
        site.recovers()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that no other test uses."""
    server = PostgresServer(tmp_path / "own-postgres", settings=FAST)
    with running(server):
        make_large(server, "large", 6)
        yield server


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[S3Server]:
    """A server that no other test uses."""
    server = S3Server(tmp_path / "own-s3")
    with running(server):
        yield server


def kill(server: Server) -> None:
    """All its processes at once."""
    assert server.pid
    head = psutil.Process(server.pid)
    for process in (head, *head.children(recursive=True)):
        killed(process)
    while server.running:
        time.sleep(0.01)


def test_the_worker_while_the_server_makes_the_scratch_database(site: Site, tmp_path: Path):
    """The server does not notice, and may have it made only after the next drill has begun."""
    quick = site.but(store=Directory(path=str(tmp_path / "backups")))
    making = "SELECT FROM pg_stat_activity WHERE query ~ '^CREATE DATABASE \"ops_drill_' AND state = 'active'"
    with psycopg.connect(site.postgres.url(), autocommit=True) as looking:
        for _ in range(3):
            id = quick.dump()
            run = quick.begin("drill")
            while not looking.execute(making).rowcount:
                assert run.process.poll() is None
            run.process.kill()
            run.wait()
            quick.proves(id)
