"""What is particular to Cloudflare Workers: deployments are the history, and nothing is ever forced."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from stage import Stage, loaded
from standins.cloudflare import RELEASES, TOKEN
from standins.server import HTML, Fault

from ops.errors import PlatformDenied, PlatformUnreachable, ReleaseMissing, ServiceError
from ops.platforms import State, open_platform
from ops.secrets import Secret

ONE, TWO, THREE = RELEASES


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The script ``web``."""
    with loaded("workers").staged(tmp_path_factory, request) as staged:
        yield staged


def deployed(stage: Stage) -> list:
    return [request for request in stage.cloud.requests if request.method == "POST"]


def test_a_version_whose_secrets_changed_is_not_forced(stage: Stage) -> None:
    stage.cloud.changed_secrets[TWO] = "DATABASE_URL"
    with pytest.raises(ServiceError, match=r"left as it is.*DATABASE_URL") as failure:
        stage.platform.activate(TWO)
    assert "\n" not in str(failure.value)
    assert failure.value.hint
    assert [request.query for request in deployed(stage)] == [{}]
    assert stage.serving() == [THREE]


def test_the_newest_deployment_serves_whatever_order_they_come_in(stage: Stage) -> None:
    stage.cloud.deployments.reverse()
    assert stage.platform.status().release == THREE
    assert [release.id for release in stage.platform.releases()] == [THREE, TWO, ONE]


def test_a_version_that_was_only_uploaded_is_the_last_choice_and_can_be_activated(stage: Stage) -> None:
    candidate = str(uuid.uuid4())
    stage.cloud.uploaded(candidate, "2026-04-01T00:00:00.000000Z")
    last = stage.platform.releases()[-1]
    assert (last.id, last.served) == (candidate, None)
    assert stage.platform.status().release == THREE
    assert stage.platform.activate(candidate) is True
    assert stage.serving() == [candidate]


def test_what_can_no_longer_be_deployed_is_no_release(stage: Stage) -> None:
    del stage.cloud.versions[ONE]
    with pytest.raises(ReleaseMissing, match=ONE):
        stage.platform.activate(ONE)
    assert not deployed(stage)


def test_a_gradual_deployment_is_not_the_whole_release(stage: Stage) -> None:
    parts = [{"version_id": THREE, "percentage": 90}, {"version_id": TWO, "percentage": 10}]
    stage.cloud.deploy(parts, "2026-05-01T00:00:00.000000Z")
    assert stage.platform.status().release == THREE
    assert stage.platform.releases()[0].id == THREE
    assert stage.platform.activate(THREE) is True


def test_a_restart_keeps_a_gradual_deployment(stage: Stage) -> None:
    parts = [{"version_id": THREE, "percentage": 90}, {"version_id": TWO, "percentage": 10}]
    stage.cloud.deploy(parts, "2026-05-01T00:00:00.000000Z")
    stage.platform.restart("web")
    assert stage.cloud.deployments[0]["versions"] == parts


def test_stopping_is_refused_with_what_to_do_instead(stage: Stage) -> None:
    with pytest.raises(ServiceError, match="cannot be stopped") as failure:
        stage.platform.stop("web")
    assert "routes" in failure.value.hint
    assert not stage.cloud.requests


def test_what_was_never_deployed_is_stopped_until_a_version_is_activated(stage: Stage) -> None:
    stage.cloud.deployments.clear()
    assert stage.platform.status().state is State.STOPPED
    assert stage.platform.missing(["PRESENT"]) == ["PRESENT"]
    for change in (stage.platform.start, stage.platform.restart):
        with pytest.raises(ServiceError, match="never deployed"):
            change("web")
    assert stage.platform.activate(TWO) is True
    stage.platform.start("web")


def test_the_log_is_read_from_a_time_on(stage: Stage) -> None:
    lines = stage.platform.logs(datetime.now(UTC) - timedelta(seconds=2.5), 5)
    assert [line.split(" ", 1)[1] for line in lines] == ["line 2", "line 1", "line 0"]


@pytest.mark.parametrize(
    "fault",
    [Fault(429, {}, {"Retry-After": "0"}, on="POST"), Fault(503, {}, on="POST"), Fault(502, HTML, on="GET")],
)
def test_what_passes_is_tried_again(stage: Stage, fault: Fault) -> None:
    stage.cloud.faults.append(fault)
    assert stage.platform.activate(TWO) is True
    assert stage.serving() == [TWO]
    assert len(stage.cloud.deployments) == 4


def test_a_deployment_whose_answer_was_lost_is_not_made_again(stage: Stage) -> None:
    stage.cloud.faults.append(Fault(500, {"success": False, "errors": []}, on="POST", carried_out=True))
    with pytest.raises(ServiceError, match="500"):
        stage.platform.activate(TWO)
    assert len(deployed(stage)) == 1
    assert stage.platform.activate(TWO) is False


def test_a_page_of_a_proxy_is_no_answer(stage: Stage) -> None:
    stage.cloud.faults.append(Fault(200, HTML))
    with pytest.raises(PlatformUnreachable, match="text/html instead of JSON"):
        stage.platform.status()


def test_an_envelope_that_says_no_is_a_failure_whatever_the_code(stage: Stage) -> None:
    stage.cloud.faults.append(Fault(200, {"success": False, "errors": [{"code": 1, "message": "not now"}]}))
    with pytest.raises(ServiceError, match="not now"):
        stage.platform.status()


def test_a_wrong_token_is_said_and_not_shown(stage: Stage) -> None:
    wrong = Secret("CLOUDFLARE_API_TOKEN", lambda: f"{TOKEN}-wrong")
    with pytest.raises(PlatformDenied, match="CLOUDFLARE_API_TOKEN") as failure:
        open_platform(stage.service.model_copy(update={"token": wrong})).status()
    assert TOKEN not in str(failure.value)
