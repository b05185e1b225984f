"""Maintenance mode of a real nginx."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from stage import loaded

from ops.errors import ServiceError
from ops.platforms import maintenance


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    with loaded("nginx").staged(tmp_path_factory, request) as staged:
        yield staged


@pytest.fixture
def prepared(stage):
    """As an operator prepares it: told what to do by the first failure."""
    with pytest.raises(ServiceError):
        maintenance.turn(stage.shell, stage.service, True)
    include(stage)
    stage.platform.restart("nginx")
    return stage


def include(stage) -> None:
    text = stage.configuration.read_text()
    line = f"include {stage.place}/maintenance/server.conf;"
    stage.configuration.write_text(text.replace("server {", f"server {{\n  {line}", 1))


def asked(stage, path: str = "/", method: str = "GET") -> tuple[int, str, str | None]:
    data = b"x=1" if method == "POST" else None
    request = urllib.request.Request(f"http://127.0.0.1:{stage.port}{path}", data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode(), answer.headers["Retry-After"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers["Retry-After"]


def test_everything_but_health_is_closed_without_a_reload_and_opened_again(prepared) -> None:
    shell, service = prepared.shell, prepared.service
    workers = prepared.workers()
    assert maintenance.mode(shell, service) is False
    assert maintenance.turn(shell, service, True) is True
    assert maintenance.mode(shell, service) is True
    for path, method in (("/", "GET"), ("/deep/path?query=1", "GET"), ("/", "POST"), ("/healthy", "GET")):
        code, page, after = asked(prepared, path, method)
        assert (code, after) == (503, "300")
        assert "<h1>Maintenance</h1>" in page
    assert asked(prepared, "/", "HEAD") == (503, "", "300")
    assert asked(prepared, "/health")[:2] == (200, "healthy")
    assert maintenance.turn(shell, service, False) is True
    assert maintenance.mode(shell, service) is False
    assert asked(prepared) == (200, "three", None)
    assert prepared.workers() == workers


def test_twice_is_no_change(prepared) -> None:
    shell, service = prepared.shell, prepared.service
    assert maintenance.turn(shell, service, False) is False
    assert maintenance.turn(shell, service, True) is True
    assert maintenance.turn(shell, service, True) is False
    assert asked(prepared)[0] == 503
    assert maintenance.turn(shell, service, False) is True
    assert maintenance.turn(shell, service, False) is False
    assert asked(prepared)[0] == 200


def test_without_the_include_the_line_to_add_is_said(stage) -> None:
    line = f"include {stage.place}/maintenance/server.conf;"
    for _ in range(2):
        with pytest.raises(ServiceError, match="does not include") as failure:
            maintenance.turn(stage.shell, stage.service, True)
        assert line in failure.value.hint
    assert maintenance.mode(stage.shell, stage.service) is False
    assert asked(stage)[0] == 200
    stage.configuration.write_text(stage.configuration.read_text() + f"# {line}\n")
    with pytest.raises(ServiceError, match="does not include"):
        maintenance.turn(stage.shell, stage.service, True)


def test_what_nginx_has_not_read_yet_is_said(stage) -> None:
    with pytest.raises(ServiceError):
        maintenance.turn(stage.shell, stage.service, True)
    # Times of boot are known to the second, and the line is added well after the start.
    time.sleep(2.5)
    include(stage)
    with pytest.raises(ServiceError, match="was changed after nginx last read it") as failure:
        maintenance.turn(stage.shell, stage.service, True)
    assert "-s reload" in failure.value.hint
    assert maintenance.mode(stage.shell, stage.service) is False
    subprocess.run([stage.service.command, "-c", stage.configuration, "-s", "reload"], check=True, capture_output=True)
    time.sleep(1)
    assert maintenance.turn(stage.shell, stage.service, True) is True
    assert asked(stage)[0] == 503


def test_its_place_is_hidden(prepared) -> None:
    assert asked(prepared, "/.ops-maintenance")[0] == 404


def test_a_service_without_health_is_closed_as_a_whole(stage) -> None:
    service = stage.service.model_copy(update={"health": None, "retry_after": 60})
    with pytest.raises(ServiceError):
        maintenance.turn(stage.shell, service, True)
    include(stage)
    stage.platform.restart("nginx")
    maintenance.turn(stage.shell, service, True)
    assert asked(stage, "/health")[::2] == (503, "60")


def test_a_configuration_that_nginx_cannot_read_is_said(prepared) -> None:
    prepared.configuration.write_text(prepared.configuration.read_text() + "no_such_directive;\n")
    with pytest.raises(ServiceError, match=r"cannot read its configuration: .*no_such_directive"):
        maintenance.turn(prepared.shell, prepared.service, True)
    assert maintenance.mode(prepared.shell, prepared.service) is False


def test_off_before_it_was_ever_on_is_no_change(stage) -> None:
    assert maintenance.mode(stage.shell, stage.service) is False
    assert maintenance.turn(stage.shell, stage.service, False) is False
