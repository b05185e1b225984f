"""What is particular to Docker, on a real engine."""

from __future__ import annotations

import time

import pytest
from stage import Stage

from ops.errors import ServiceError
from ops.platforms import Platform, State, open_platform

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("stage", ["docker"], indirect=True)]


def plain(stage: Stage, options: str, command: str) -> Platform:
    stage.shell.must(f"docker run -d --name plain --network none {options} base:1 {command}")
    return open_platform(stage.service.model_copy(update={"containers": ("plain",), "compose": None}), stage.shell)


def test_a_container_without_a_project_has_no_releases(stage: Stage) -> None:
    platform = plain(stage, "--stop-timeout 1", "sleep infinity")
    before = platform.status().of("plain").since
    platform.restart("plain")
    after = platform.status().of("plain").since
    assert before is not None and after is not None and before < after
    assert platform.releases() == []
    with pytest.raises(ServiceError, match="has no releases"):
        platform.activate("one")
    platform.stop("plain")
    assert platform.status().state is State.STOPPED
    platform.start("plain")
    assert platform.status().state is State.RUNNING


def test_a_crash_loop_is_a_failure_whenever_one_looks(stage: Stage) -> None:
    """Half of the time such a container is up, and Docker calls it running."""
    platform = plain(stage, "--restart always", "sh -c 'echo dying; sleep 1; exit 3'")
    stage.shell.must("until [ $(docker inspect -f '{{.RestartCount}}' plain) -gt 0 ]; do sleep 0.05; done")
    said = set()
    looks = []
    until = time.monotonic() + 60
    while not {"running", "restarting"} <= said and time.monotonic() < until:
        looks.append(platform.status().state)
        said.add(stage.shell.must("docker inspect -f '{{.State.Status}}' plain").strip())
    assert {"running", "restarting"} <= said
    assert set(looks) == {State.FAILED}
    assert any("dying" in line for line in platform.logs())


def test_restarts_by_itself_are_counted_until_somebody_restarts_it(stage: Stage) -> None:
    died = "sh -c '[ ! -e /died ] || exec sleep infinity; touch /died; exit 3'"
    platform = plain(stage, "--restart always --stop-timeout 1", died)
    stage.shell.must(
        "until [ $(docker inspect -f '{{.State.Running}}{{.RestartCount}}' plain) = true1 ]; do sleep 0.05; done"
    )
    assert platform.status().of("plain").restarts == 1
    platform.restart("plain")
    assert platform.status().of("plain").restarts == 0


def test_a_service_that_was_never_started_is_stopped_and_can_be_started(stage: Stage) -> None:
    stage.shell.must(f"cd {stage.place}; docker compose rm -sf web2")
    assert stage.platform.status().of("web2").state is State.STOPPED
    stage.platform.start("web2")
    assert stage.platform.status().of("web2").state is State.RUNNING


def test_what_else_the_environment_file_holds_stays_as_it_is(stage: Stage) -> None:
    kept = stage.place / ".env"
    kept.chmod(0o600)
    stage.platform.activate("two")
    assert kept.read_text() == "PRESENT=x\nTAG=two\n"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_what_is_no_text_is_kept_and_a_link_stays_a_link(stage: Stage) -> None:
    shared = stage.place / "shared.env"
    shared.write_bytes(b"OWNER=Andr\xe9\nexport TAG='three'\nLAST=x")
    (stage.place / ".env").unlink()
    (stage.place / ".env").symlink_to("shared.env")
    assert stage.platform.status().release == "three"
    assert stage.platform.activate("two")
    assert shared.read_bytes() == b"OWNER=Andr\xe9\nLAST=x\nTAG=two\n"
    assert (stage.place / ".env").is_symlink()


def test_a_project_that_serves_for_the_first_time_has_no_ledger_yet(stage: Stage) -> None:
    (stage.place / "served.log").unlink()
    status = stage.platform.status()
    assert status.release == "three" and status.since is not None
    assert stage.platform.activate("one")
    assert [release.id for release in stage.platform.releases()][:2] == ["one", "three"]


def test_a_host_without_docker_is_said(stage: Stage) -> None:
    service = stage.service.model_copy(update={"command": "/nowhere/docker"})
    with pytest.raises(ServiceError, match="Docker does not answer") as failure:
        open_platform(service, stage.shell).status()
    assert failure.value.hint
