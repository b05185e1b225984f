"""An application on each engine, with a shop as its real database."""

from __future__ import annotations

from pathlib import Path

import pytest
from applications import APPLICATIONS, Application, OfAlembic, OfSql
from asked import Asked

from ops import S3
from ops.sandbox.shop import Shop


@pytest.fixture
def worker(shop: Shop, store_s3: S3) -> Asked:
    """The worker, with a small shop and an empty store."""
    return Asked(shop, store_s3)


ENGINES = [pytest.param(kind, marks=[pytest.mark.slow] if kind != "sql" else []) for kind in sorted(APPLICATIONS)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty directory for an application."""
    directory = tmp_path / "application"
    directory.mkdir()
    return directory


@pytest.fixture
def plain(shop: Shop, place: Path) -> OfSql:
    """A directory of plain files."""
    return OfSql(place, shop.url)


@pytest.fixture
def alembic(shop: Shop, place: Path) -> OfAlembic:
    """An application on Alembic."""
    return OfAlembic(place, shop.url)


@pytest.fixture(params=ENGINES)
def application(request: pytest.FixtureRequest, shop: Shop, place: Path) -> Application:
    """One without migrations yet."""
    return APPLICATIONS[request.param](place, shop.url)
