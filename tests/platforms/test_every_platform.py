"""What every platform must do, on the real thing or on a stand-in that keeps to the provider's own contract."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from stage import Stage

from ops import roll
from ops.errors import ReleaseMissing, ServiceError, ServiceUnhealthy
from ops.platforms import State

SKEW = timedelta(seconds=5)


def restart(stage: Stage) -> None:
    roll.restarted(stage.service, stage.platform, stage.shell, lambda _: None)


def activate(stage: Stage, release: str) -> bool:
    changed = stage.platform.activate(release)
    if stage.platform.rolls:
        restart(stage)
    return changed


def test_a_running_service_says_what_serves_and_since_when(stage: Stage) -> None:
    status = stage.platform.status()
    assert status.state is State.RUNNING
    assert status.release == stage.releases[2]
    assert status.since is not None and status.since <= datetime.now(UTC) + SKEW
    for instance in status.instances:
        assert instance.since is not None and instance.since <= datetime.now(UTC) + SKEW
        assert instance.release in (None, stage.releases[2])
    assert set(stage.serving()) == {stage.releases[2]}


def test_a_stopped_service_says_so_and_can_be_started(stage: Stage) -> None:
    if not stage.stops:
        pytest.skip("this platform cannot stop a service, and says so")
    platform = stage.platform
    names = [instance.name for instance in platform.status().instances]
    for name in names:
        platform.stop(name)
    assert {stage.platform.status().of(name).state for name in names} == {State.STOPPED}
    for name in names:
        platform.stop(name)
    roll.started(stage.service, stage.platform, stage.shell, lambda _: None)
    assert stage.platform.status().state is State.RUNNING
    before = stage.writes()
    roll.started(stage.service, stage.platform, stage.shell, lambda _: None)
    assert stage.writes() == before


def test_a_crashed_service_is_not_called_running(stage: Stage) -> None:
    stage.crash()
    assert stage.platform.status().state in (State.FAILED, State.STARTING)


def test_a_restart_is_visible(stage: Stage) -> None:
    before = {instance.name: instance.since for instance in stage.platform.status().instances}
    restart(stage)
    for instance in stage.platform.status().instances:
        was = before.get(instance.name)
        assert instance.since is not None
        assert was is None or instance.since > was
    assert set(stage.serving()) == {stage.releases[2]}


def test_nothing_was_restarted_by_itself_neither_before_nor_after_somebody_restarts_it(stage: Stage) -> None:
    assert {instance.restarts for instance in stage.platform.status().instances} <= {0, None}
    restart(stage)
    assert {instance.restarts for instance in stage.platform.status().instances} <= {0, None}


def test_a_restart_of_what_dies_right_after_is_a_failure(stage: Stage) -> None:
    stage.breaks()
    with pytest.raises(ServiceUnhealthy) as failure:
        restart(stage)
    assert failure.value.hint
    assert len(failure.value.log) <= roll.LINES


def test_releases_are_those_that_served_newest_first(stage: Stage) -> None:
    releases = stage.platform.releases()
    assert [release.id for release in releases][:3] == list(reversed(stage.releases))
    times = [release.served for release in releases if release.served]
    assert times == sorted(times, reverse=True)


def test_the_one_before_is_activated_and_then_the_one_before_that(stage: Stage) -> None:
    one, two, three = stage.releases
    assert activate(stage, two) is True
    assert stage.platform.status().release == two
    assert set(stage.serving()) == {two}
    assert activate(stage, one) is True
    assert stage.platform.status().release == one
    assert set(stage.serving()) == {one}
    assert activate(stage, three) is True
    assert set(stage.serving()) == {three}
    assert [release.id for release in stage.platform.releases()][:3] == [three, one, two]


def test_what_serves_already_is_no_change(stage: Stage) -> None:
    before = stage.writes()
    assert stage.platform.activate(stage.releases[2]) is False
    assert stage.writes() == before


def test_a_release_that_does_not_exist_is_said_before_anything_changes(stage: Stage) -> None:
    before = stage.writes()
    with pytest.raises(ReleaseMissing, match="no-such-release") as failure:
        stage.platform.activate("no-such-release")
    assert stage.releases[2] in failure.value.hint
    assert stage.writes() == before


def test_a_service_that_does_not_exist_is_said(stage: Stage) -> None:
    with pytest.raises(ServiceError) as failure:
        stage.unknown().status()
    assert failure.value.hint


def test_two_at_once_leave_one_release_serving(stage: Stage) -> None:
    one, two, _ = stage.releases
    with ThreadPoolExecutor(2) as pool:
        outcomes = [pool.submit(stage.platform.activate, release) for release in (one, two)]
    failures = [outcome.exception() for outcome in outcomes if outcome.exception()]
    assert all(isinstance(failure, ServiceError) for failure in failures), failures
    assert len(failures) < 2
    if stage.platform.rolls:
        restart(stage)
    (serving,) = set(stage.serving())
    assert serving in (one, two)
    assert stage.platform.status().release == serving


def test_its_log_is_read(stage: Stage) -> None:
    lines = stage.platform.logs(lines=5)
    assert 0 < len(lines) <= 5


def test_what_is_required_and_not_there_is_named(stage: Stage) -> None:
    assert stage.platform.missing(["PRESENT", "ABSENT"]) == ["ABSENT"]
