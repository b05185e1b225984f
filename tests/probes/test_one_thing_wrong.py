"""One thing after the other is broken, each alone: the verification names it and nothing else.

It runs under a role of the database and with keys of the store that can only read.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from certificates import Authority
from faulty_web import serving
from identities import ServerWithIdentities
from pyinfra_command import CommandLine
from readers import reader
from servers import FAST, running
from shelf import Shelf

from ops import (
    Backups,
    Column,
    Database,
    Environment,
    Host,
    Http,
    MigrationsCurrent,
    ObjectStore,
    Rows,
    Schema,
    ServicesRunning,
    Sql,
    Supervisor,
    Table,
)
from ops.sandbox import shop as shops
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.supervisor import WebServer

pytestmark = pytest.mark.slow

CLIENTS = 50


class World:
    """An environment in which all is well, until something is broken."""

    def __init__(self, stack: ExitStack, place: Path) -> None:
        self.server = PostgresServer(place / "postgres", settings={**FAST, "max_connections": "60"})
        stack.enter_context(running(self.server))
        self.shop = shops.create(self.server, rows=500)
        role = stack.enter_context(reader(self.server, self.shop.name, "pg_monitor", "pg_read_all_data"))
        s3 = ServerWithIdentities(place / "s3")
        stack.enter_context(running(s3))
        self.disk = stack.enter_context(disk(place / "disk"))
        authority = Authority(place)
        self.sites = {
            "good": stack.enter_context(serving(authority.certificate("127.0.0.1", days=30))),
            "expired": stack.enter_context(serving(authority.certificate("127.0.0.1", days=-1))),
        }
        for site in self.sites.values():
            site.on("/health", {"status": "healthy"})
        self.web = WebServer(place / "web")
        stack.enter_context(running(self.web))
        (place / "migrations").mkdir()
        self.shelf = Shelf(self.shop, s3.description(prefix="one-thing-wrong"))
        self.backup = self.shelf.take()
        assert self.shelf.worker.ask("drill").code == 0
        self.line = CommandLine(place)
        self._parts: dict[str, Any] = {
            "name": "test",
            "database": role.request().database,
            "store": s3.seen_by("reader", "one-thing-wrong"),
            "migrations": Sql(directory=str(place / "migrations")),
            "services": (
                Supervisor(
                    name="web",
                    hosts="runner",
                    programs=("web_1", "web_2"),
                    configuration=str(self.web.configuration),
                    command=self.web.command,
                    releases=str(self.web.releases),
                    ports=tuple(self.web.ports[name] for name in self.web.instances),
                    health="http://127.0.0.1:{port}/",
                ),
            ),
        }
        self._file = authority.file
        self.describe("good")

    def describe(self, site: str) -> None:
        """Write the inventory, which asks one of the sites."""
        checks = (
            ServicesRunning(),
            Http(
                name="site",
                url=f"{self.sites[site].url}/health",
                equals={"status": "healthy"},
                ca_file=self._file,
                certificate=14,
            ),
            Database(longest_transaction="1h", longest_wait="1s", dead_rows=None),
            Schema(
                tables=(
                    Table(name="orders", columns={"note": Column(type="text")}, indexes=("orders_customer",)),
                    Table(name="customers", columns={"email": Column(nullable=False)}),
                )
            ),
            Rows(name="emails", query="SELECT count(*) FROM customers WHERE email NOT LIKE '%@%'", equals=0),
            MigrationsCurrent(),
            Backups(newer_than="1h", proven_within="1d"),
            ObjectStore(),
            Host(hosts="runner", mounts=(str(self.disk),), memory=None, load=None),
        )
        self.line.describe(Environment(**self._parts, checks=checks), runner=["@local"])

    def wrong(self) -> set[str]:
        """What the verification names, as ``--json`` has it."""
        done = self.line.run("--json", "deploys/verify.py")
        results = json.loads(done.stdout)["results"]["checks"]
        bad = {f"{one['check']}: {one['what']}".removesuffix(": ") for one in results if one["outcome"] != "pass"}
        # A service that is just starting is a warning, which a slow machine sees for longer.
        worse = any(one["outcome"] not in ("pass", "warn") for one in results)
        assert done.returncode == (1 if worse else 0), done.stderr
        return bad

    def triage(self) -> str:
        """The picture."""
        done = self.line.run("deploys/triage.py")
        assert "Traceback" not in done.stderr
        return done.stderr

    def execute(self, *statements: str) -> None:
        with closing(psycopg.connect(self.shop.url, autocommit=True)) as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def disk(place: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place.mkdir()
    if os.geteuid() != 0:
        yield Path("/")  # a mount that is not broken here
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack, tmp_path_factory.mktemp("world"))


@contextmanager
def load(world: World) -> Iterator[None]:
    """pgbench, with nearly as many clients as the server takes."""
    program = world.server.bin_dir / "pgbench"
    script = world.line.directory / "load.sql"
    script.write_text("SELECT count(*) FROM customers; SELECT pg_sleep(0.5);")
    command = [program, "-n", "-c", str(CLIENTS), "-T", "60", "-f", script, world.shop.url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with closing(psycopg.connect(world.server.url(), autocommit=True)) as connection:
                wait(lambda: _one(connection, "application_name = 'pgbench'") >= CLIENTS)
            yield
        finally:
            process.kill()
    with closing(psycopg.connect(world.server.url(), autocommit=True)) as connection:
        wait(lambda: _one(connection, "application_name = 'pgbench'") == 0)


@contextmanager
def blocking(world: World) -> Iterator[None]:
    """Somebody holds a lock for which somebody else waits."""
    with closing(psycopg.connect(world.shop.url)) as holder, closing(psycopg.connect(world.shop.url)) as waiter:
        holder.execute("LOCK TABLE products")
        waiting = threading.Thread(target=waiter.execute, args=("SELECT count(*) FROM products",))
        waiting.start()
        try:
            with closing(psycopg.connect(world.server.url(), autocommit=True)) as connection:
                wait(lambda: _one(connection, "wait_event_type = 'Lock' AND now() - query_start > '1s'") == 1)
            yield
        finally:
            holder.rollback()
            waiting.join()


@contextmanager
def index_dropped(world: World) -> Iterator[None]:
    world.execute("DROP INDEX orders_customer")
    yield
    world.execute("CREATE INDEX orders_customer ON orders (customer_id)")


@contextmanager
def column_missing(world: World) -> Iterator[None]:
    world.execute("ALTER TABLE orders RENAME note TO remark")
    yield
    world.execute("ALTER TABLE orders RENAME remark TO note")


@contextmanager
def backup_stale(world: World) -> Iterator[None]:
    fresh = world.backup
    stale = world.shelf.copy(fresh, age=7200)
    world.shelf.prove(stale)
    kept = {key: world.shelf.store.read(key)[0] for key in world.shelf.catalogue.files(fresh)}
    world.shelf.remove(fresh)
    yield
    for key, content in kept.items():
        world.shelf.store.write(key, content)
    world.shelf.remove(stale)


@contextmanager
def certificate_expired(world: World) -> Iterator[None]:
    world.describe("expired")
    yield
    world.describe("good")


@contextmanager
def disk_full(world: World) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs root: a file system of its own")
    (world.disk / "full").write_bytes(bytes(4_000_000))
    yield
    (world.disk / "full").unlink()


@contextmanager
def service_restarting(world: World) -> Iterator[None]:
    """It dies half a second after each start."""
    broken = world.web.data / "broken"
    broken.touch()
    control = [world.web.command, "-c", str(world.web.configuration)]
    subprocess.run([*control, "restart", "web_2"], capture_output=True)
    yield
    broken.unlink()
    subprocess.run([*control, "stop", "web_2"], capture_output=True)
    subprocess.run([*control, "start", "web_2"], check=True, capture_output=True)


FAULTS = [
    (load, {"database: connections"}),
    (blocking, {"database: blocked sessions"}),
    (index_dropped, {"schema: orders"}),
    (column_missing, {"schema: orders"}),
    (backup_stale, {"backups: newest"}),
    (certificate_expired, {"site: certificate", "site"}),
    (disk_full, {"host: disk"}),
    (service_restarting, {"services: web"}),
]


@pytest.mark.parametrize(("fault", "named"), FAULTS, ids=lambda one: getattr(one, "__name__", ""))
def test_what_is_broken_is_named_and_nothing_else(world: World, fault: Callable[[World], Any], named: set[str]) -> None:
    assert world.wrong() == set()
    with fault(world):
        assert world.wrong() == named
        picture = world.triage()
        assert all(name in picture for name in named)
    assert world.wrong() == set()


def _one(connection: psycopg.Connection, condition: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {condition}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)
