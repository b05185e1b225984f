"""What is particular to Railway: deployments that cannot be gone back to, its tokens, and its refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
from stages.railway import TOKEN, OnRailway, staged
from standins import railway as standin
from standins.railway import Deployment, RailwayApi
from standins.server import HTML, MALFORMED, Fault

from ops.errors import PlatformDenied, PlatformUnreachable, ServiceError
from ops.platforms import Platform, State, open_platform, railway
from ops.secrets import Secret


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[OnRailway]:
    with staged(tmp_path_factory, request) as made:
        assert isinstance(made, OnRailway)
        yield made


def changed(stage: OnRailway, **fields: object) -> Platform:
    return open_platform(stage.service.model_copy(update=fields))


def test_what_cannot_be_gone_back_to_is_refused_before_anything_changes(stage: OnRailway) -> None:
    stage.api.deployments[0].can_rollback = False
    assert stage.releases[0] not in [release.id for release in stage.platform.releases()]
    with pytest.raises(ServiceError, match="cannot go back to deployment-one") as failure:
        stage.platform.activate(stage.releases[0])
    assert failure.value.hint
    assert stage.writes() == []


def test_a_release_goes_by_any_of_its_deployments(stage: OnRailway) -> None:
    assert stage.platform.activate(stage.releases[1]) is True
    made = stage.api.deployments[-1]
    assert made.id != stage.releases[1] and made.snapshot == "snapshot-two"
    assert stage.platform.status().release == stage.releases[1]
    assert stage.platform.activate(made.id) is False
    assert stage.platform.activate(stage.releases[2]) is True
    assert stage.platform.activate(made.id) is True
    assert set(stage.serving()) == {stage.releases[1]}


def test_a_deployment_that_failed_does_not_hide_what_serves(stage: OnRailway) -> None:
    stage.api.fails = True
    with pytest.raises(ServiceError, match="ended as FAILED"):
        stage.platform.activate(stage.releases[1])
    assert stage.platform.status().release == stage.releases[2]
    assert stage.platform.status().state is State.RUNNING
    assert stage.platform.releases()[0].id == stage.releases[2]


def test_a_build_under_way_is_no_release(stage: OnRailway) -> None:
    stage.api.deployments.append(Deployment("four", datetime.now(UTC), "snapshot-four", status="BUILDING"))
    stage.api.deployments[-1].replica = "CREATED"
    assert [release.id for release in stage.platform.releases()] == list(reversed(stage.releases))
    assert stage.platform.status().release == stage.releases[2]


def test_going_back_that_takes_too_long_is_said(stage: OnRailway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standin, "TAKES", 30)
    with pytest.raises(ServiceError, match="does not serve on Railway after 1 s") as failure:
        changed(stage, within=1).activate(stage.releases[1])
    assert "within=" in failure.value.hint


def test_what_sleeps_runs(stage: OnRailway) -> None:
    stage.api.deployments[-1].becomes("SLEEPING", "STOPPED")
    assert stage.platform.status().state is State.RUNNING


def test_the_token_of_a_project_has_a_header_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(railway, "PAUSE", 0.05)
    with RailwayApi(TOKEN, project_token=True) as api:
        ours = OnRailway(api, project_token=True)
        assert ours.platform.activate(ours.releases[1]) is True
        assert not api.violations
        assert all("authorization" not in request.headers for request in api.requests)
        wrong = Secret("RAILWAY_TOKEN", lambda: "wrong-token")
        with pytest.raises(PlatformDenied, match="RAILWAY_TOKEN"):
            changed(ours, token=wrong).status()


def test_a_wrong_token_is_named_and_not_shown(stage: OnRailway) -> None:
    wrong = Secret("RAILWAY_TOKEN", lambda: "wrong-token")
    with pytest.raises(PlatformDenied, match="RAILWAY_TOKEN") as failure:
        changed(stage, token=wrong).status()
    assert "wrong-token" not in str(failure.value)
    stage.api.faults.append(Fault(401, {"message": "no"}))
    with pytest.raises(PlatformDenied, match="RAILWAY_TOKEN"):
        stage.platform.status()


def test_a_limit_of_requests_is_waited_for(stage: OnRailway) -> None:
    stage.api.faults.append(Fault(429, {"errors": [{"message": "Rate limited"}]}, {"Retry-After": "1"}))
    began = time.monotonic()
    assert stage.platform.status().state is State.RUNNING
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("body", [HTML, MALFORMED], ids=["html", "malformed"])
def test_what_is_not_json_is_one_clear_line(stage: OnRailway, body: bytes) -> None:
    stage.api.faults.append(Fault(200, body))
    with pytest.raises(PlatformUnreachable, match="instead of JSON") as failure:
        stage.platform.status()
    assert "\n" not in str(failure.value) and "<" not in str(failure.value)


def test_a_rollback_is_sent_once_whatever_happens_while_it_is_waited_for(stage: OnRailway) -> None:
    before = len(stage.api.deployments)
    platform = stage.platform
    platform.status()
    rollback = stage.api.deploymentRollback

    def and_then_stumble(info, id):
        done = rollback(info, id)
        stage.api.faults.append(Fault(500, {"errors": [{"message": "Problem processing request"}]}))
        return done

    stage.api.deploymentRollback = and_then_stumble
    assert platform.activate(stage.releases[1]) is True
    assert len(stage.api.deployments) == before + 1


def test_no_value_of_a_variable_is_kept(stage: OnRailway) -> None:
    platform = stage.platform
    assert platform.missing(["PRESENT", "ABSENT"]) == ["ABSENT"]
    assert "unrendered: true" in stage.api.requests[-1].body["query"]
    assert stage.api.variables["PRESENT"] not in repr(vars(platform))


def test_the_stand_in_refuses_what_the_schema_does_not_have(stage: OnRailway) -> None:
    wrong = {"query": 'mutation { deploymentRollback(id: "1") { id } }'}
    answer = requests.post(f"{stage.api.url}/graphql/v2", json=wrong, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 400
    assert "must not have a selection" in stage.api.violations.pop()
