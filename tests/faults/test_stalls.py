"""What stands still is cut by the deadline on progress; what moves, however slowly, is not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from faulty_proxy import FaultyProxy
from harness import REPOSITORY, Run, Site
from link import Link

from ops import S3
from ops.errors import StoreUnreachable
from ops.sandbox.shop import Shop

pytestmark = pytest.mark.slow
DEADLINE = 2
SOON = 40
"""Seconds: the deadline, that of cleaning up, what libpq allows two connections to be made, and the worker's start."""
PLACES = [0, 400, 700, 1000, 2000]
"""Bytes from the database that lie in the first steps of a run."""


def stalled(site: Site, verb: str, after: int) -> Run:
    """A run whose database stops answering after so many bytes."""
    with Link(site.postgres.port, stall_after=after) as link:
        way = {"port": link.port, "deadline": DEADLINE}
        run = site.with_database(**way).with_server(**way).begin(verb)
        return run.wait(timeout=60)


def bytes_from_the_database(site: Site, verb: str) -> int:
    """Of a run in which nothing stalls."""
    with Link(site.postgres.port) as link:
        site.with_database(port=link.port).with_server(port=link.port).ask(verb).succeeds()
        return link.passed


def test_a_dump_of_a_database_that_falls_silent_at_any_moment(site: Site):
    whole = bytes_from_the_database(site, "dump")
    with ThreadPoolExecutor(8) as pool:
        sites = [site.but(environment=f"{site.environment}-{n}") for n in range(len(PLACES) + 3)]
        places = [*PLACES, *(int(whole * part) for part in (0.2, 0.5, 0.9))]
        runs = list(pool.map(lambda site, place: stalled(site, "dump", place), sites, places))
    for place, run, silent in zip(places, runs, sites, strict=True):
        run.refuses(None, "nothing moved|timeout")
        assert run.seconds < SOON, place
        assert silent.states() == {}
    sites[-1].recovers()


def test_a_drill_on_a_server_that_falls_silent_at_any_moment(site: Site):
    site.dump()
    whole = bytes_from_the_database(site, "drill")
    with ThreadPoolExecutor(8) as pool:
        sites = [site.but(environment=f"{site.environment}-{n}") for n in range(len(PLACES) + 3)]
        known = [{id: "unproven"} for id in pool.map(Site.dump, sites)]
        places = [*PLACES, *(int(whole * part) for part in (0.1, 0.5, 0.9))]
        runs = list(pool.map(lambda site, place: stalled(site, "drill", place), sites, places))
    for place, run, silent, before in zip(places, runs, sites, known, strict=True):
        run.refuses(None, "nothing moved|timeout")
        assert run.seconds < SOON, place
        assert silent.states() == before
    sites[-1].proves(*known[-1])


def test_a_large_dump_that_stands_still_in_the_middle(large_site: Callable[[], Site]):
    site = large_site()
    run = stalled(site, "dump", 5_000_000)
    run.refuses(None, "nothing moved .* 2 s, so it was cut.*deadline=")
    assert run.seconds < SOON
    assert site.states() == {}
    site.recovers()


def test_a_slow_database_is_no_stalled_one(large_site: Callable[[], Site]):
    site = large_site()
    with Link(site.postgres.port, rate=3_000_000) as link:
        run = site.with_database(port=link.port, deadline=DEADLINE).ask("dump")
    assert run.succeeds()["seconds"]["dump"] > DEADLINE


def test_a_slow_store_is_no_stalled_database(large_site: Callable[[], Site]):
    site = large_site()
    with FaultyProxy(endpoint(site)) as proxy:
        for method in ("PUT", "GET"):
            proxy.fault(method, "database.dump", rate=2_000_000)
        slow = site.with_store(endpoint=proxy.url).with_database(deadline=DEADLINE).with_server(deadline=DEADLINE)
        assert slow.but(hasty=False).ask("dump").succeeds()["seconds"]["dump"] > DEADLINE
        assert slow.but(hasty=False).ask("drill").succeeds()["seconds"]["fetch"] > DEADLINE


def test_a_store_that_falls_silent_is_given_up(large_site: Callable[[], Site]):
    sites = {verb: large_site() for verb in ("dump", "check", "drill")}
    known = {verb: {} if verb == "dump" else {site.dump(): "unproven"} for verb, site in sites.items()}
    with Link(int(endpoint(sites["dump"]).rpartition(":")[2])) as line, FaultyProxy(endpoint(sites["check"])) as proxy:
        proxy.fault("GET", "database.dump", stall=1_000_000)
        runs = {verb: site.with_store(endpoint=proxy.url).begin(verb) for verb, site in sites.items() if verb != "dump"}
        runs["dump"] = sites["dump"].with_store(endpoint=f"http://127.0.0.1:{line.port}").begin("dump")
        runs["dump"].child("pg_dump")
        line.stall()
        for run in runs.values():
            run.wait(timeout=60)
    for verb, run in runs.items():
        run.refuses(StoreUnreachable, "no connection .no answer in time")
        assert run.seconds < SOON
        sites[verb].keeps_its_word(known[verb], run)
        sites[verb].recovers()


def endpoint(site: Site) -> str:
    """Where the store of a site listens."""
    assert isinstance(site.store, S3) and site.store.endpoint
    return site.store.endpoint


PIPING = """
import sys
from contextlib import closing
from ops import Postgres
from ops.worker.connection import connect
from ops.worker.piped import pipe
from ops.worker.pulse import Pulse

near, far = (Postgres(url=sys.stdin.readline().strip()) for _ in range(2))
deadline = float(sys.argv[1])
with Pulse(deadline, far) as pulse, closing(connect(near, watched=pulse.cuts)) as near, closing(connect(far)) as far:
    far.execute("CREATE TABLE taken (number int, filling text)")
    given = "COPY (SELECT n, repeat('x', 1000) FROM generate_series(1, 100000) n) TO STDOUT"
    pipe(near, given, far, "COPY taken FROM STDIN", lambda size: print("moved", flush=True))
"""


@pytest.mark.parametrize(("deadline", "ended_by"), [(DEADLINE, "Stalled"), (300, "KeyboardInterrupt")])
def test_rows_between_two_databases_that_stand_still_are_cut_or_interrupted(shop: Shop, deadline: int, ended_by: str):
    with Link(shop.server.port, stall_after=2_000_000) as link:
        command = [sys.executable, "-c", PIPING, str(deadline)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, cwd=REPOSITORY, text=True, **pipes) as process:
            url = shop.url.replace(f":{shop.server.port}/", f":{link.port}/")
            process.stdin.write(f"{url}\n{shop.url}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "moved\n", process.stderr.read()
            try:
                if ended_by == "KeyboardInterrupt":
                    time.sleep(1)
                    process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=SOON)
            finally:
                process.kill()
        assert ended_by in said.splitlines()[-1]
