"""Every platform on its stage: one file a platform in ``stages``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Stage, loaded

REAL = ("docker", "pm2", "supervisor", "systemd")
"""Those whose processes really start and stop, which takes long."""
STAGES = [
    pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem in REAL else [])
    for path in sorted((Path(__file__).parent / "stages").glob("*.py"))
]


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service with three releases, on each platform in turn."""
    module = loaded(request.param)
    with module.staged(tmp_path_factory, request) as staged:
        yield staged
