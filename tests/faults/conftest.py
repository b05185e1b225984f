"""Sites to break."""

from __future__ import annotations

import dataclasses
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from harness import Site

from ops import S3, Directory, Postgres
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.shop import Shop

sys.path.append(str(Path(__file__).parents[1] / "stores"))  # for faulty_proxy


def described(server: PostgresServer, database: str, user: str, password: str) -> Postgres:
    """A database on a server of ours."""
    return Postgres(host="127.0.0.1", port=server.port, database=database, user=user, password=password, deadline=20)


@pytest.fixture(scope="session")
def lasting_shop(postgres: PostgresServer, shop_template: Shop) -> Shop:
    """A small shop that every test leaves as it was."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE lasting TEMPLATE {shop_template.name} OWNER {shop_template.user}")
    return dataclasses.replace(shop_template, name="lasting")


@pytest.fixture
def site(postgres: PostgresServer, lasting_shop: Shop, store_s3: S3, tmp_path: Path) -> Site:
    """A small shop with backups in a bucket."""
    database = described(postgres, lasting_shop.name, lasting_shop.user, lasting_shop.password)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    return Site(f"e{secrets.token_hex(4)}", postgres, database, database, store_s3, temporary)


@pytest.fixture
def own_site(site: Site, shop: Shop) -> Site:
    """A small shop that the test may change."""
    return site.with_database(database=shop.name)


@pytest.fixture(params=["s3", "directory"])
def either(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Site:
    """A small shop with backups in a bucket, then in a directory."""
    if request.param == "s3":
        return site
    return site.but(store=Directory(path=str(tmp_path / "backups")))


def make_large(server: PostgresServer, name: str, megabytes: int) -> None:
    """A database whose dump is this large, because nothing in it can be compressed."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(server.url(name)) as connection:
        connection.execute("CREATE TABLE few AS SELECT i AS id FROM generate_series(1, 1000) AS i")
        for table in range(4):
            connection.execute(f"CREATE TABLE noise_{table} (id int PRIMARY KEY, content bytea)")
            with connection.cursor().copy(f"COPY noise_{table} FROM STDIN") as copy:
                for id in range(megabytes * 64):
                    copy.write_row((id, os.urandom(4096)))


@pytest.fixture(scope="session")
def large_database(postgres: PostgresServer) -> str:
    """Its dump has two parts when it is uploaded."""
    make_large(postgres, "large", 9)
    return "large"


@pytest.fixture
def large_site(postgres: PostgresServer, large_database: str, store_s3: S3, tmp_path: Path) -> Callable[[], Site]:
    """Makes sites that share a larger database, each with a store of its own."""
    database = described(postgres, large_database, postgres.user, postgres.password)

    def make() -> Site:
        name = f"e{secrets.token_hex(4)}"
        temporary = tmp_path / name
        temporary.mkdir()
        store = store_s3.model_copy(update={"prefix": f"{store_s3.prefix}/{name}"})
        return Site(name, postgres, database, database, store, temporary)

    return make


@pytest.fixture
def small_disk(open_directory: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts file systems of a given size, such as ``1m``."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = open_directory / f"disk-{len(mounted)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"needs mounts: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", place], check=True)
