"""An application on each engine, with a shop as its real database."""

from __future__ import annotations

from pathlib import Path

import pytest
from applications import APPLICATIONS, Application
from asked import Asked

from ops import S3
from ops.sandbox.shop import Shop


@pytest.fixture
def worker(shop: Shop, store_s3: S3) -> Asked:
    """The worker, with a small shop and an empty store."""
    return Asked(shop, store_s3)


ENGINES = [pytest.param(kind, marks=[pytest.mark.slow] if kind != "sql" else []) for kind in sorted(APPLICATIONS)]


@pytest.fixture(params=ENGINES)
def application(request: pytest.FixtureRequest, shop: Shop, tmp_path: Path) -> Application:
    """One without migrations yet."""
    place = tmp_path / "application"
    place.mkdir()
    return APPLICATIONS[request.param](place, shop.url)
