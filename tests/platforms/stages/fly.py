"""A stand-in of Fly.io with an app of two machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stage import Stage
from standins.fly import APP, FlyApi, image

from ops.platforms import Platform, fly, open_platform
from ops.secrets import Secret
from ops.services import Fly

TOKEN = "fly-token-of-the-tests"


class OnFly(Stage):
    """An app whose releases are called by their images."""

    releases = (image("one"), image("two"), image("three"))

    def __init__(self, api: FlyApi) -> None:
        self.api = api
        self.service = Fly(
            name="web",
            app=APP,
            token=Secret("FLY_TOKEN", lambda: TOKEN),
            api=f"{api.url}/v1",
            web=api.url,
            within=4,
            settle=0.6,
        )

    @property
    def platform(self) -> Platform:
        return open_platform(self.service)

    def serving(self) -> list[str]:
        with self.api.lock:
            self.api.catch_up()
            machines = self.api.machines.values()
            return [machine["running"].split("@")[0] for machine in machines if machine["state"] == "started"]

    def breaks(self) -> None:
        self.api.breaks = True

    def crash(self) -> None:
        for machine in self.api.machines.values():
            self.api.crash(machine)

    def unknown(self) -> Platform:
        return open_platform(self.service.model_copy(update={"app": "no-such-app"}))

    def writes(self) -> object:
        return [
            str(request.body)
            for request in self.api.requests
            if request.method != "GET" and "query Releases" not in str(request.body)
        ]


@contextmanager
def staged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stand-in of the test's own."""
    with pytest.MonkeyPatch.context() as patched, FlyApi(TOKEN) as api:
        patched.setattr(fly, "PAUSE", 0.05)
        yield OnFly(api)
        assert not api.violations
