"""A script on a stand-in for Cloudflare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from stage import Stage
from standins.cloudflare import ACCOUNT, BASE, RELEASES, TOKEN, CloudflareApi

from ops.platforms import Platform, open_platform
from ops.secrets import Secret
from ops.services import Workers


class OnWorkers(Stage):
    """The script ``web``."""

    releases = RELEASES
    stops = False

    def __init__(self, cloud: CloudflareApi) -> None:
        self.cloud = cloud
        self.service = Workers(
            name="web",
            account=ACCOUNT,
            token=Secret("CLOUDFLARE_API_TOKEN", lambda: TOKEN),
            api=f"{cloud.url}{BASE}",
            health=f"{cloud.url}/edge",
            within=5,
            settle=0.5,
        )

    @property
    def platform(self) -> Platform:
        return open_platform(self.service)

    def serving(self) -> list[str]:
        return [requests.get(f"{self.cloud.url}/edge", timeout=5).json()["release"]]

    def breaks(self) -> None:
        self.cloud.broken = True

    def crash(self) -> None:
        pytest.skip("a script on Workers has no process that could crash: only its health tells")

    def unknown(self) -> Platform:
        return open_platform(self.service.model_copy(update={"script": "nothing"}))

    def writes(self) -> object:
        return [str(request) for request in self.cloud.requests if request.method != "GET"]


@contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[OnWorkers]:
    """A stand-in of the test's own."""
    with CloudflareApi() as cloud:
        yield OnWorkers(cloud)
    assert not cloud.violations
