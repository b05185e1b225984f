"""What is particular to Fly.io: leases, versions of machines, waits, and its refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from stages.fly import TOKEN, OnFly, staged
from standins import fly as standin
from standins.server import HTML, MALFORMED, Fault

from ops.errors import PlatformDenied, PlatformUnreachable, ServiceError
from ops.platforms import Platform, State, open_platform
from ops.secrets import Secret


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[OnFly]:
    with staged(tmp_path_factory, request) as made:
        assert isinstance(made, OnFly)
        yield made


def changed(stage: OnFly, **fields: object) -> Platform:
    return open_platform(stage.service.model_copy(update=fields))


def images(stage: OnFly) -> list[str]:
    return [machine["config"]["image"].split("@")[0] for machine in stage.api.machines.values()]


def test_a_machine_that_somebody_changed_meanwhile_is_left_as_it_is(stage: OnFly) -> None:
    last = list(stage.api.machines.values())[-1]
    create = stage.api.createRelease

    def and_somebody_else(info, input):
        last["instance_id"] = "01SOMEBODYELSE"
        return create(info, input)

    stage.api.createRelease = and_somebody_else
    with pytest.raises(ServiceError, match="changed by somebody else") as failure:
        stage.platform.activate(stage.releases[1])
    assert last["id"] in failure.value.problem
    assert images(stage) == [stage.releases[1], stage.releases[2]]
    assert stage.api.releases[-1]["status"] == "failed"
    assert not stage.api.leases
    # What was completed last is still what is to serve, and going back there mends the first machine.
    assert stage.platform.status().release == stage.releases[2]
    assert stage.platform.activate(stage.releases[2]) is True
    assert set(stage.serving()) == {stage.releases[2]}


def test_a_lease_of_somebody_else_stops_us_before_anything_changes(stage: OnFly) -> None:
    last = list(stage.api.machines)[-1]
    stage.api.hold(last, 100, "deploy@tokens.fly.io")
    with pytest.raises(ServiceError, match=r"held by somebody else.*deploy@tokens\.fly\.io") as failure:
        stage.platform.activate(stage.releases[1])
    assert "Wait" in failure.value.hint
    assert images(stage) == [stage.releases[2]] * 2
    assert len(stage.api.releases) == 3
    assert list(stage.api.leases) == [last]
    with pytest.raises(ServiceError, match="held by somebody else"):
        stage.platform.restart(last)


def test_every_change_has_its_lease_and_the_version_it_was_made_from(stage: OnFly) -> None:
    before = {id: machine["instance_id"] for id, machine in stage.api.machines.items()}
    stage.platform.activate(stage.releases[1])
    updates = [request for request in stage.api.requests if request.body and "current_version" in request.body]
    assert [request.body["current_version"] for request in updates] == list(before.values())
    assert all(request.headers[standin.NONCE] for request in updates)
    assert {request.body["config"]["metadata"]["fly_release_version"] for request in updates} == {"4"}
    assert stage.api.releases[-1]["status"] == "complete"
    assert not stage.api.leases


def test_a_machine_that_does_not_come_up_in_time_is_a_failure(stage: OnFly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standin, "TAKES", 30)
    with pytest.raises(ServiceError, match="not started after 1 s") as failure:
        changed(stage, within=1).activate(stage.releases[1])
    assert failure.value.hint
    assert images(stage) == [stage.releases[1], stage.releases[2]]
    assert stage.api.releases[-1]["status"] == "failed"
    assert any(request.path.endswith("/wait") for request in stage.api.requests)


def test_a_stopped_machine_gets_the_release_and_stays_stopped(stage: OnFly) -> None:
    first, second = stage.api.machines
    stage.platform.stop(first)
    assert stage.platform.activate(stage.releases[1]) is True
    status = stage.platform.status()
    assert (status.of(first).state, status.of(second).state) == (State.STOPPED, State.RUNNING)
    assert images(stage) == [stage.releases[1]] * 2


def test_a_limit_of_requests_is_waited_for(stage: OnFly) -> None:
    limit = Fault(429, {"error": "rate limit exceeded"}, {"Retry-After": "1"})
    stage.api.faults.append(limit)
    began = time.monotonic()
    assert stage.platform.status().state is State.RUNNING
    assert time.monotonic() - began >= 1
    stage.api.faults.append(Fault(429, {"error": "slow down"}, {"Retry-After": "1"}, on="POST"))
    stage.api.faults.append(Fault(423, {"error": "locked"}, on="lease"))
    stage.api.faults.append(Fault(503, {"error": "busy"}, on="POST"))
    assert stage.platform.activate(stage.releases[1]) is True
    assert not stage.api.faults


@pytest.mark.parametrize("body", [HTML, MALFORMED], ids=["html", "malformed"])
def test_what_is_not_json_is_one_clear_line(stage: OnFly, body: bytes) -> None:
    stage.api.faults.append(Fault(200, body))
    with pytest.raises(PlatformUnreachable, match="instead of JSON") as failure:
        stage.platform.status()
    assert "\n" not in str(failure.value) and "<" not in str(failure.value)


def test_json_of_another_kind_is_one_clear_line(stage: OnFly) -> None:
    stage.api.faults.append(Fault(200, {"hello": "world"}))
    with pytest.raises(PlatformUnreachable, match="without machines"):
        stage.platform.status()
    stage.api.faults.append(Fault(200, ["hello"], on="graphql"))
    with pytest.raises(PlatformUnreachable, match="without data"):
        stage.platform.status()


def test_an_answer_lost_after_a_change_is_not_sent_again(stage: OnFly) -> None:
    stage.api.faults.append(Fault(500, {"error": "internal"}, on="/restart", carried_out=True))
    with pytest.raises(ServiceError, match="500"):
        stage.platform.restart(next(iter(stage.api.machines)))
    assert sum(request.path.endswith("/restart") for request in stage.api.requests) == 1


def test_a_wrong_token_is_named_and_not_shown(stage: OnFly) -> None:
    wrong = Secret("FLY_TOKEN", lambda: "wrong-token")
    platform = changed(stage, token=wrong)
    for ask in (platform.status, platform.releases):
        with pytest.raises(PlatformDenied, match="FLY_TOKEN") as failure:
            ask()
        assert "wrong-token" not in str(failure.value) and TOKEN not in str(failure.value)


def test_settings_of_the_machines_count_as_well_as_secrets(stage: OnFly) -> None:
    assert stage.platform.missing(["PRESENT", "PRIMARY_REGION", "ABSENT"]) == ["ABSENT"]


def test_machines_beside_the_service_are_none_of_its_instances(stage: OnFly) -> None:
    machine = next(iter(stage.api.machines.values()))
    for id, metadata, more in (
        ("release1", {"fly_process_group": "fly_app_release_command"}, {}),
        ("standby1", {"fly_process_group": "app"}, {"standbys": [machine["id"]]}),
    ):
        config = {**machine["config"], "metadata": metadata, **more}
        stage.api.machines[id] = {**machine, "id": id, "state": "stopped", "config": config, "events": []}
    assert stage.platform.status().state is State.RUNNING
    assert len(stage.platform.status().instances) == 2


def test_a_restart_that_is_accepted_and_not_carried_out_is_a_failure(stage: OnFly) -> None:
    first = next(iter(stage.api.machines))
    stage.api.faults.append(Fault(200, {"ok": True}, on=f"{first}/restart"))
    with pytest.raises(ServiceError, match=f"Fly has not restarted {first} after 1 s"):
        changed(stage, within=1).restart(first)
