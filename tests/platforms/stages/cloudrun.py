"""A service on a stand-in for Google Cloud Run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stage import Stage
from standins.cloudrun import RELEASES, TOKEN, GoogleCloudRun

from ops.platforms import Platform, cloudrun, open_platform
from ops.secrets import Secret
from ops.services import CloudRun


class OnCloudRun(Stage):
    """The service ``web``, whose revisions run images of the same name."""

    releases = RELEASES

    def __init__(self, cloud: GoogleCloudRun) -> None:
        self.cloud = cloud
        self.service = CloudRun(
            name="web",
            project="tests",
            region="us-east1",
            token=Secret("GOOGLE_TOKEN", lambda: TOKEN),
            api=f"{cloud.url}/v2",
            logging=f"{cloud.url}/v2",
            within=5,
            settle=0.3,
        )

    @property
    def platform(self) -> Platform:
        return open_platform(self.service)

    def serving(self) -> list[str]:
        with self.cloud.lock:
            return [self.cloud.image().rpartition("/")[2]]

    def breaks(self) -> None:
        self.cloud.broken = True

    def crash(self) -> None:
        name = self.cloud.service["latestReadyRevision"].rpartition("/")[2]
        self.cloud.revisions[name]["conditions"] = [{"type": "Ready", "state": "CONDITION_FAILED"}]

    def unknown(self) -> Platform:
        return open_platform(self.service.model_copy(update={"service": "nothing"}))

    def writes(self) -> object:
        return [str(request) for request in self.cloud.requests if request.method not in ("GET", "POST")]


@contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[OnCloudRun]:
    """A stand-in of the test's own."""
    with GoogleCloudRun() as cloud, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloudrun, "PAUSE", 0.03)
        yield OnCloudRun(cloud)
    assert not cloud.violations
