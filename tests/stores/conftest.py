"""The places where backups may lie, each a real one."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from s3_servers import described, make_bucket, serving

from ops import S3, Directory
from ops.sandbox import ports
from ops.stores import Store, open_store


@pytest.fixture(scope="session")
def moto() -> Iterator[S3]:
    """A second opinion on what S3 is."""
    port = ports.free()
    with serving("moto_server", "-H", "127.0.0.1", "-p", str(port), port=port):
        description = described(f"http://127.0.0.1:{port}")
        make_bucket(description)
        yield description


@pytest.fixture(scope="session")
def nanio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A server that takes conditional writes and ignores the condition."""
    port = ports.free()
    description = described(f"http://127.0.0.1:{port}")
    with serving(
        "nanio",
        "serve",
        "--host=127.0.0.1",
        f"--port={port}",
        f"--data-dir={tmp_path_factory.mktemp('nanio')}",
        port=port,
        NANIO_ACCESS_KEY=description.access_key.reveal(),
        NANIO_SECRET_KEY=description.secret_key.reveal(),
    ):
        make_bucket(description)
        yield description


@pytest.fixture(params=["seaweedfs", "moto", "directory"])
def description(request: pytest.FixtureRequest, tmp_path: Path) -> S3 | Directory:
    """An empty store in each of the places."""
    if request.param == "directory":
        return Directory(path=str(tmp_path / "backups"))
    if request.param == "moto":
        moto: S3 = request.getfixturevalue("moto")
        return moto.model_copy(update={"prefix": f"test-{secrets.token_hex(4)}"})
    store_s3: S3 = request.getfixturevalue("store_s3")
    return store_s3


@pytest.fixture
def store(description: S3 | Directory) -> Store:
    return open_store(description)


@pytest.fixture
def proxy(store_s3: S3) -> Iterator[FaultyProxy]:
    """Before the S3 server."""
    assert store_s3.endpoint
    with FaultyProxy(store_s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: FaultyProxy, store_s3: S3) -> S3:
    """An empty store behind the proxy."""
    return store_s3.model_copy(update={"endpoint": proxy.url})


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs mounts: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)
