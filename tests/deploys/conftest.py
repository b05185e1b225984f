from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asked import Asked
from command_line import CommandLine
from story import Story, begun

from ops import S3
from ops.sandbox.shop import Shop


@pytest.fixture
def pyinfra(tmp_path: Path, shop: Shop, store_s3: S3) -> CommandLine:
    """The command line with an environment whose store is empty."""
    return CommandLine(tmp_path, shop, store_s3)


@pytest.fixture
def worker(shop: Shop, store_s3: S3) -> Asked:
    """The worker on the same database and the same store, for what is to be there before anything is typed."""
    return Asked(shop, store_s3)


@pytest.fixture
def story(pyinfra: CommandLine, worker: Asked, tmp_path: Path) -> Iterator[Story]:
    """The shop, of which release 1 serves."""
    with begun(pyinfra, worker, tmp_path) as story:
        yield story
