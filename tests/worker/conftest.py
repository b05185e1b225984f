from __future__ import annotations

from pathlib import Path

import pytest
from asked import Asked

from ops import S3, Directory
from ops.sandbox.shop import Shop


@pytest.fixture
def worker(shop: Shop, store_s3: S3) -> Asked:
    """The worker, with a small shop and an empty store."""
    return Asked(shop, store_s3)


@pytest.fixture(params=["s3", "directory"])
def on_every_store(request: pytest.FixtureRequest, shop: Shop, store_s3: S3, tmp_path: Path) -> Asked:
    """The same on each kind of store."""
    return Asked(shop, store_s3 if request.param == "s3" else Directory(path=str(tmp_path / "backups")))
