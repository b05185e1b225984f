"""A slow run: it shows that it lives; and when pyinfra is ended in the middle, the worker cleans up behind it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import psycopg
import pytest
from described import described
from pyinfra_command import CommandLine
from slow_link import slow_link

from ops import S3, Environment
from ops.sandbox.shop import Shop, grow
from ops.stores import Store, open_store
from ops.worker.progress import INTERVAL

pytestmark = pytest.mark.slow

GONE = 10
"""Seconds within which nothing must be left."""


@pytest.fixture(params=["ssh", "local"])
def slow(request: pytest.FixtureRequest, pyinfra: CommandLine, shop: Shop, store_s3: S3) -> Iterator[CommandLine]:
    """A command line for a backup that takes a quarter of a minute, on a remote runner and on this machine."""
    runner = request.getfixturevalue("installed") if request.param == "ssh" else "@local"
    grow(shop.url, 20)
    with slow_link(shop.server.port, rate=500_000) as port:
        environment = Environment(name="test", database=described(shop, port), store=store_s3)
        pyinfra.describe(environment, runner=[runner])
        yield pyinfra


@pytest.fixture
def store(store_s3: S3) -> Store:
    """The store, opened."""
    return open_store(store_s3)


def test_a_run_shows_every_few_seconds_that_it_lives(slow: CommandLine, store: Store, shop: Shop) -> None:
    with slow.begun("deploys/backup.py") as begun:
        begun.wait_for("dumping ")
        times = begun.wait_for(" MB/s; counted ", times=2)
        assert all(0.5 * INTERVAL < later - earlier < 2 * INTERVAL for earlier, later in pairwise(times))
        assert "\x1b[31m" not in begun.said()
        begun.kill()
    assert_nothing_is_left(store, shop)


def test_ctrl_c_is_a_failure_and_leaves_nothing(slow: CommandLine, store: Store, shop: Shop) -> None:
    with slow.begun("deploys/backup.py") as begun:
        begun.wait_for(" MB/s; counted ")
        began = time.monotonic()
        assert begun.interrupt() == 128 + signal.SIGINT
        assert "Traceback" not in begun.said()
        assert "Interrupted" in begun.said()
        assert time.monotonic() - began < INTERVAL
    assert_nothing_is_left(store, shop)


@pytest.mark.parametrize("slow", ["local"], indirect=True)
def test_a_second_signal_does_not_stop_the_cleaning_up(slow: CommandLine, store: Store, shop: Shop) -> None:
    with slow.begun("deploys/backup.py") as begun:
        begun.wait_for("dumping ")
        worker = json.loads(store.read(f"test/{shop.name}/backup.lock")[0])["pid"]
        for ending in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(worker, ending)
        assert begun.process.wait(timeout=15) == 1
        assert "interrupted; what it had begun is cleaned up. Run it again" in begun.said()
    assert_nothing_is_left(store, shop)


def assert_nothing_is_left(store: Store, shop: Shop) -> None:
    """Neither files but the run's record, unfinished uploads, a held lock, nor a connection to the shop."""
    deadline = time.monotonic() + GONE
    while left := list(leftovers(store, shop)):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert store.abort_uploads("") == 0


def leftovers(store: Store, shop: Shop) -> Iterator[str]:
    for entry in store.list(""):
        if entry.key.startswith("test/runs/"):
            continue
        if not entry.key.endswith(".lock"):
            yield entry.key
        elif json.loads(store.read(entry.key)[0])["held"]:
            yield f"{entry.key} is held"
    with psycopg.connect(shop.server.url()) as connection:
        for row in connection.execute("SELECT application_name FROM pg_stat_activity WHERE datname = %s", [shop.name]):
            yield f"connection {row[0]}"
