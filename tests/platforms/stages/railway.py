"""A stand-in of Railway with one service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stage import Stage
from standins.railway import RailwayApi

from ops.platforms import Platform, open_platform, railway
from ops.secrets import Secret
from ops.services import Railway

TOKEN = "railway-token-of-the-tests"


class OnRailway(Stage):
    """One service, whose deployments are named by their release."""

    releases = ("deployment-one", "deployment-two", "deployment-three")

    def __init__(self, api: RailwayApi, project_token: bool = False) -> None:
        self.api = api
        self.service = Railway(
            name="web",
            project=api.project,
            environment=api.environment,
            service=api.service,
            token=Secret("RAILWAY_TOKEN", lambda: TOKEN),
            project_token=project_token,
            api=f"{api.url}/graphql/v2",
            within=5,
            settle=0.8,
        )

    @property
    def platform(self) -> Platform:
        return open_platform(self.service)

    def serving(self) -> list[str]:
        serves = self.api.serves()
        return [f"deployment-{serves.release}"] if serves else []

    def breaks(self) -> None:
        self.api.breaks = True

    def crash(self) -> None:
        serves = self.api.serves()
        assert serves
        self.api.crash(serves)

    def unknown(self) -> Platform:
        return open_platform(self.service.model_copy(update={"service": "no-such-service"}))

    def writes(self) -> object:
        return [str(request.body) for request in self.api.requests if "mutation" in str(request.body)]


@contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stand-in of the test's own."""
    with pytest.MonkeyPatch.context() as patched, RailwayApi(TOKEN) as api:
        patched.setattr(railway, "PAUSE", 0.05)
        yield OnRailway(api)
        assert not api.violations
