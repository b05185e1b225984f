"""Every platform on its stage: one file a platform in ``stages``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Stage

STAGES = sorted(path.stem for path in (Path(__file__).parent / "stages").glob("*.py"))


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service with three releases, on each platform in turn."""
    module = loaded(request.param)
    with module.staged(tmp_path_factory, request) as staged:
        yield staged


def loaded(kind: str):
    """The module that builds a platform's stage."""
    name = f"stage_of_{kind}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "stages" / f"{kind}.py")
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
