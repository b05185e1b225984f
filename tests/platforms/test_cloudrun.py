"""What is particular to Google Cloud Run: etags, operations, pinning, and what is known of what served."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from stage import Stage, loaded
from standins.cloudrun import PINNED, RELEASES, SERVICE, TOKEN
from standins.server import HTML, Answer, Fault, Request, StandIn

from ops.errors import PlatformDenied, PlatformUnreachable, ServiceError, ServiceUnhealthy
from ops.platforms import State, cloudrun, open_platform
from ops.secrets import Secret

ONE, TWO, THREE = RELEASES


class TokenServer(StandIn):
    """Google's, which gives an access token for a refresh token; it is asked with a form, not JSON."""

    def answer(self, request: Request) -> Answer:
        assert (request.method, request.path) == ("POST", "/token")
        return Answer(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The service ``web``."""
    with loaded("cloudrun").staged(tmp_path_factory, request) as staged:
        yield staged


def patches(stage: Stage) -> list:
    return [request for request in stage.cloud.requests if request.method == "PATCH"]


def test_a_change_names_what_it_was_read_from_and_touches_only_the_traffic(stage: Stage) -> None:
    stage.platform.activate(TWO)
    (patch,) = patches(stage)
    assert patch.query == {"updateMask": "traffic,annotations"}
    assert patch.body["etag"] == '"3-0"'
    assert patch.body["traffic"] == [{"type": PINNED, "revision": TWO, "percent": 100}]
    assert patch.body["annotations"]["team"] == "web"


def test_who_comes_second_is_told_and_changes_nothing(stage: Stage) -> None:
    stage.cloud.faults.append(Fault(409, {"error": {"code": 409, "status": "ABORTED", "message": "x"}}, on="PATCH"))
    with pytest.raises(ServiceError, match="changed by somebody else meanwhile"):
        stage.platform.activate(TWO)
    assert stage.serving() == [THREE]


def test_a_stale_etag_is_refused_by_google_itself(stage: Stage) -> None:
    platform = stage.platform
    read = platform._api.ask("GET", SERVICE)
    stage.platform.activate(TWO)
    with pytest.raises(ServiceError, match="changed by somebody else meanwhile"):
        platform._patch(read, {"traffic": [{"type": PINNED, "revision": ONE, "percent": 100}]})
    assert stage.serving() == [TWO]


def test_pinning_is_said_with_what_undoes_it(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        stage.platform.activate(TWO)
    assert f"web is pinned to {TWO}" in caplog.text
    assert "gcloud run services update-traffic web --to-latest --region us-east1" in caplog.text
    assert TOKEN not in caplog.text


def test_a_deployment_without_traffic_is_not_what_to_go_back_to(stage: Stage) -> None:
    stage.platform.activate(TWO)
    stage.cloud.deployed("web-00009-candidate", traffic=False)
    status = stage.platform.status()
    assert status.release == TWO
    found = {release.id: release.served for release in stage.platform.releases()}
    assert list(found)[:2] == [TWO, THREE]
    assert found["web-00009-candidate"] is None


def test_a_revision_that_never_started_is_no_release(stage: Stage) -> None:
    stage.cloud.deployed("web-00009-bad", traffic=False, healthy=False)
    assert "web-00009-bad" not in [release.id for release in stage.platform.releases()]
    assert stage.platform.status().state is State.RUNNING


def test_what_somebody_else_pinned_has_no_known_time_once_something_is_written_down(stage: Stage) -> None:
    stage.platform.activate(TWO)
    stage.cloud.pinned(ONE)
    status = stage.platform.status()
    assert (status.release, status.since) == (ONE, None)
    assert [release.id for release in stage.platform.releases()] == [ONE, TWO, THREE]


def test_a_spoilt_note_is_no_note(stage: Stage) -> None:
    stage.platform.activate(TWO)
    stage.cloud.service["annotations"]["pyinfra-ops/served"] = "{"
    assert stage.platform.status().release == TWO
    assert stage.platform.activate(ONE)


def test_tags_keep_their_revisions(stage: Stage) -> None:
    stage.cloud.service["traffic"].append({"type": PINNED, "revision": ONE, "tag": "old"})
    stage.platform.activate(TWO)
    assert stage.cloud.service["traffic"][1:] == [{"type": PINNED, "revision": ONE, "tag": "old"}]


def test_split_traffic_is_one_release_only_once_it_is_activated(stage: Stage) -> None:
    split = [{"type": PINNED, "revision": THREE, "percent": 60}, {"type": PINNED, "revision": TWO, "percent": 40}]
    stage.cloud.service["traffic"] = stage.cloud.service["trafficStatuses"] = split
    assert stage.platform.status().release == THREE
    with pytest.raises(ServiceError, match="no one release"):
        stage.platform.restart("web")
    assert stage.platform.activate(THREE) is True


def test_a_restart_is_the_same_release_and_can_be_gone_back_to(stage: Stage) -> None:
    stage.platform.restart("web")
    assert [release.id for release in stage.platform.releases()] == [THREE, TWO, ONE]
    assert stage.platform.status().release == THREE
    stage.platform.activate(TWO)
    stage.platform.activate(THREE)
    assert stage.cloud.service["traffic"][0]["revision"] == "web-00004-new"


def test_a_restart_after_a_rollback_starts_what_serves_and_not_the_newest(stage: Stage) -> None:
    stage.platform.activate(TWO)
    stage.platform.restart("web")
    assert stage.serving() == [TWO]
    assert stage.platform.status().release == TWO


def test_a_restart_that_does_not_start_leaves_what_serves(stage: Stage) -> None:
    stage.breaks()
    with pytest.raises(ServiceUnhealthy, match="failed to start") as failure:
        stage.platform.restart("web")
    assert any("broken, as told" in line for line in failure.value.log)
    assert stage.serving() == [THREE]
    assert stage.platform.status().state is State.RUNNING
    assert stage.platform.activate(TWO) is True


def test_a_start_scales_as_it_was_before(stage: Stage) -> None:
    stage.platform.stop("web")
    assert stage.cloud.service["scaling"] == {"maxInstanceCount": 4, "scalingMode": "MANUAL", "manualInstanceCount": 0}
    stage.platform.start("web")
    assert stage.cloud.service["scaling"] == {"maxInstanceCount": 4, "scalingMode": "AUTOMATIC"}
    assert stage.cloud.service["annotations"] == {"team": "web"}


def test_what_was_scaled_by_hand_is_so_again(stage: Stage) -> None:
    stage.cloud.service["scaling"] = {"scalingMode": "MANUAL", "manualInstanceCount": 3}
    stage.platform.stop("web")
    stage.platform.start("web")
    assert stage.cloud.service["scaling"] == {"scalingMode": "MANUAL", "manualInstanceCount": 3}


@pytest.mark.parametrize("notes", [{}, {"pyinfra-ops/scaling": "{"}, {"pyinfra-ops/scaling": "3"}])
def test_what_somebody_else_stopped_is_left_to_google_to_scale(stage: Stage, notes: dict[str, str]) -> None:
    stage.cloud.service["annotations"] = notes
    stage.cloud.service["scaling"] = {"scalingMode": "MANUAL", "manualInstanceCount": 0, "maxInstanceCount": 4}
    stage.platform.start("web")
    assert stage.cloud.service["scaling"] == {"scalingMode": "AUTOMATIC", "maxInstanceCount": 4}


def test_every_page_of_revisions_is_read(stage: Stage) -> None:
    stage.cloud.page = 1
    assert len(stage.platform.releases()) == 3


def test_an_operation_that_never_ends_is_not_waited_for_forever(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudrun, "LONGEST", 0.2)
    monkeypatch.setattr("standins.cloudrun.TAKES", 60)
    with pytest.raises(ServiceError, match=r"still changes web after 0\.2 s"):
        stage.platform.activate(TWO)


def test_a_change_under_way_is_starting(stage: Stage) -> None:
    stage.cloud.service["reconciling"] = True
    assert stage.platform.status().state is State.STARTING


def test_the_log_is_read_from_a_time_on(stage: Stage) -> None:
    lines = stage.platform.logs(datetime(2026, 3, 1, 0, 0, 6, tzinfo=UTC), 5)
    assert lines == ["2026-03-01T00:00:06Z line 6", "2026-03-01T00:00:07Z line 7"]


@pytest.mark.parametrize(
    "fault", [Fault(429, {}, {"Retry-After": "0"}, on="PATCH"), Fault(503, {}, on="PATCH"), Fault(500, {}, on="GET")]
)
def test_what_passes_is_tried_again(stage: Stage, fault: Fault) -> None:
    stage.cloud.faults.append(fault)
    assert stage.platform.activate(TWO) is True
    assert stage.serving() == [TWO]


def test_a_page_of_a_proxy_is_no_answer(stage: Stage) -> None:
    stage.cloud.faults.append(Fault(200, HTML))
    with pytest.raises(PlatformUnreachable, match="text/html instead of JSON"):
        stage.platform.status()


def test_a_wrong_token_is_said_and_not_shown(stage: Stage) -> None:
    service = stage.service.model_copy(update={"token": Secret("GOOGLE_TOKEN", lambda: "ya29.wrong")})
    with pytest.raises(PlatformDenied) as failure:
        open_platform(service).status()
    assert "ya29" not in str(failure.value)


def test_without_google_auth_it_is_said_what_to_install(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ServiceError, match="pip install google-auth"):
        open_platform(stage.service.model_copy(update={"token": None}))


def test_without_credentials_it_is_said_how_to_log_in(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    pytest.importorskip("google.auth")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(PlatformDenied, match="gcloud auth application-default login"):
        open_platform(stage.service.model_copy(update={"token": None}))


def test_application_default_credentials_are_used(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    pytest.importorskip("google.auth")
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    from cryptography.hazmat.primitives import serialization as form

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()
    with TokenServer() as server:
        file = tmp_path / "adc.json"
        account = {"type": "service_account", "client_email": "a@tests.iam.gserviceaccount.com", "private_key": pem}
        file.write_text(json.dumps({**account, "project_id": "tests", "token_uri": f"{server.url}/token"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        assert open_platform(stage.service.model_copy(update={"token": None})).status().release == THREE
