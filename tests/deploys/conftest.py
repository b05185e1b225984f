from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CommandLine

from ops import S3
from ops.sandbox.shop import Shop


@pytest.fixture
def pyinfra(tmp_path: Path, shop: Shop, store_s3: S3) -> CommandLine:
    """The command line with an environment whose store is empty."""
    return CommandLine(tmp_path, shop, store_s3)
