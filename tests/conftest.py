"""Real servers for all tests: one pair for each worker process of pytest-xdist, started when a test first asks."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from servers import FAST, running

from ops import S3
from ops.sandbox import shop as shops
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.s3 import S3Server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A running PostgreSQL."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), settings=FAST)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running S3 server with a bucket."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    with running(server):
        yield server


@pytest.fixture(scope="session")
def shop_template(postgres: PostgresServer) -> shops.Shop:
    """The shop of which every test gets a copy. Nobody connects to it: a template must be alone."""
    return shops.create(postgres, rows=2_000)


@pytest.fixture
def shop(postgres: PostgresServer, shop_template: shops.Shop) -> Iterator[shops.Shop]:
    """A small shop of the test's own; what a test leaves under names that begin with its name goes as well."""
    name = f"shop_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY").format(
                *map(sql.Identifier, (name, shop_template.name, shop_template.user))
            )
        )
    yield dataclasses.replace(shop_template, name=name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [name])
        for (database,) in left.fetchall():
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


@pytest.fixture
def store_s3(s3: S3Server) -> S3:
    """The description of an empty store in the bucket."""
    return s3.description(prefix=f"test-{secrets.token_hex(4)}")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can pass into; pytest's own are closed to all but their owner."""
    directory = Path(f"/tmp/open-{secrets.token_hex(4)}")
    directory.mkdir()
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything is there that tests can need, a test that was skipped for want of something has failed."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or not os.environ.get("NOTHING_SKIPPED"):
        return
    wanting = [report for report in reporter.stats.get("skipped", []) if "needs" in str(report.longrepr)]
    for report in wanting:
        reporter.write_line(f"must not be skipped here: {report.nodeid}: {report.longrepr[-1]}", red=True)
    if wanting:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
