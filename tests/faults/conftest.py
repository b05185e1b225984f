"""Sites to break."""

from __future__ import annotations

import dataclasses
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from databases import described, make_large
from harness import Site

from ops import S3, Directory
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.shop import Shop


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
