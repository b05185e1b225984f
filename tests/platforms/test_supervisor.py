"""What is particular to supervisord, on a real one."""

from __future__ import annotations

import time
import urllib.request

import pytest
from stage import Stage

from ops.errors import ServiceError
from ops.platforms import State, open_platform

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("stage", ["supervisor"], indirect=True)]


def test_releases_that_are_reached_through_a_link_are_known(stage: Stage) -> None:
    (stage.place / "www").symlink_to(stage.base)
    platform = open_platform(stage.service.model_copy(update={"releases": f"{stage.place}/www"}), stage.shell)
    assert {one.release for one in platform.status().instances} == {"three"}
    (stage.base / "current").unlink()
    (stage.base / "current").symlink_to("releases/two")
    status = platform.status()
    assert status.release == "two"
    assert {one.release for one in status.instances} == {"three"}


def test_the_log_is_that_of_the_instance_asked_for(stage: Stage) -> None:
    (stage.place / "broken").touch()
    stage.platform.restart("web_1")
    deadline = time.monotonic() + 20
    while stage.platform.status().of("web_1").state is not State.FAILED:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for _ in range(30):
        urllib.request.urlopen(f"http://127.0.0.1:{stage.ports[1]}/", timeout=5).close()
    said = stage.platform.logs(lines=6, instance="web_1")
    assert "broken, as told" in said
    assert all(f"on port {stage.ports[1]}" not in line for line in said)


def test_a_release_may_have_any_name_that_a_directory_has(stage: Stage) -> None:
    odd = "2026-11-20 hot'fix $(id)"
    (stage.base / "releases" / odd).mkdir()
    (stage.base / "releases" / odd / "release.txt").write_text("odd")
    assert stage.platform.activate(odd)
    assert stage.platform.status().release == odd
    stage.platform.restart("web_1")
    assert stage.platform.status().of("web_1").release == odd
    assert stage.platform.activate("two")
    assert [one.id for one in stage.platform.releases()][:2] == ["two", odd]


def test_a_release_that_could_not_be_activated_has_not_served(stage: Stage) -> None:
    (stage.base / "current").unlink()
    (stage.base / "current" / "in-the-way").mkdir(parents=True)
    with pytest.raises(ServiceError, match="current cannot be changed"):
        stage.platform.activate("one")
    assert (stage.base / "served.log").read_text().splitlines()[-1].endswith("three")
    assert not list(stage.base.glob("current.new*"))
