"""nginx: what is particular to versions of a configuration and to reloads that say nothing."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from stage import loaded

from ops.errors import ServiceError
from ops.platforms import State
from ops.sandbox import ports


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    with loaded("nginx").staged(tmp_path_factory, request) as staged:
        yield staged


def test_a_version_that_nginx_refuses_changes_nothing(stage) -> None:
    stage.version("four", more="no_such_directive on;")
    before = stage.writes()
    with pytest.raises(ServiceError, match=r"four.*no_such_directive.*versions/releases/four:\d+") as failure:
        stage.platform.activate("four")
    assert "nothing was changed" in failure.value.hint
    assert stage.writes() == before


def test_a_version_that_cannot_bind_is_taken_back(stage) -> None:
    before = stage.configuration.read_text()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.free({stage.port})))
        taken.listen()
        stage.version("four", port=taken.getsockname()[1])
        with pytest.raises(ServiceError, match=r"did not take up four: bind\(\) .*Address already in use") as failure:
            stage.platform.activate("four")
    assert "is back" in failure.value.hint
    assert stage.configuration.read_text() == before
    assert sorted(path.name for path in stage.place.glob("nginx.conf*")) == ["nginx.conf"]
    assert "four" not in (stage.versions / "served.log").read_text()
    assert stage.serving() == ["three"]
    assert stage.platform.status().release == "three"
    assert stage.platform.status().state is State.RUNNING


def test_a_restart_of_a_configuration_that_cannot_bind_is_said_and_the_old_one_serves(stage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.free({stage.port})))
        taken.listen()
        text = stage.configuration.read_text()
        stage.configuration.write_text(text.replace(str(stage.port), str(taken.getsockname()[1])))
        with pytest.raises(ServiceError, match="Address already in use"):
            stage.platform.restart("nginx")
    assert stage.serving() == ["three"]


def test_a_restart_of_a_configuration_that_is_wrong_names_file_and_line(stage) -> None:
    stage.configuration.write_text(stage.configuration.read_text() + "no_such_directive;\n")
    with pytest.raises(ServiceError, match=r"no_such_directive.*nginx.conf:\d+"):
        stage.platform.restart("nginx")
    assert stage.serving() == ["three"]


def test_a_restart_cuts_no_request(stage) -> None:
    until = time.monotonic() + 3
    stage.platform.restart("nginx")
    while time.monotonic() < until:
        assert stage.serving() == ["three"]


def test_a_stop_lets_a_request_end(stage) -> None:
    big = stage.place / "big"
    big.write_bytes(b"x" * 30_000_000)
    stage.version("four", more=f"location = /big {{ root {stage.place}; }}")
    stage.platform.activate("four")
    with urllib.request.urlopen(f"http://127.0.0.1:{stage.port}/big", timeout=10) as answer:
        first = answer.read(1000)
        stopping = Thread(target=stage.platform.stop, args=("nginx",))
        stopping.start()
        time.sleep(0.5)
        assert len(first) + len(answer.read()) == 30_000_000
        stopping.join()
    assert stage.platform.status().state is State.STOPPED


def test_a_configuration_that_is_no_version_has_no_release(stage) -> None:
    stage.configuration.write_text(stage.configuration.read_text() + "# by hand\n")
    status = stage.platform.status()
    assert (status.release, status.since) == (None, None)
    assert [release.id for release in stage.platform.releases()] == ["three", "two", "one"]


def test_of_versions_that_are_alike_the_one_activated_last_serves(stage) -> None:
    (stage.versions / "releases" / "four").write_text(stage.configuration.read_text())
    assert stage.platform.status().release == "three"
    assert stage.platform.activate("four") is True
    assert stage.platform.status().release == "four"
    assert stage.platform.activate("four") is False


def test_a_version_is_put_in_place_while_nginx_is_stopped(stage) -> None:
    stage.platform.stop("nginx")
    assert stage.platform.activate("two") is True
    assert stage.platform.status().state is State.STOPPED
    stage.platform.start("nginx")
    assert stage.serving() == ["two"]


def test_a_crashed_one_is_started_anew(stage) -> None:
    stage.crash()
    assert stage.platform.status().state is State.FAILED
    stage.platform.restart("nginx")
    assert stage.platform.status().state is State.RUNNING


def test_why_it_cannot_start_is_said(stage) -> None:
    stage.platform.stop("nginx")
    stage.configuration.write_text("no_such_directive;\n")
    with pytest.raises(ServiceError, match=r"could not be started: .*no_such_directive.*nginx.conf:1"):
        stage.platform.start("nginx")


def test_its_rights_and_owner_stay(stage) -> None:
    stage.configuration.chmod(0o640)
    stage.platform.activate("one")
    assert stage.configuration.stat().st_mode & 0o777 == 0o640


def test_lines_of_the_log_that_are_older_are_left_out(stage) -> None:
    assert stage.platform.logs(datetime.now(UTC) + timedelta(hours=1)) == []
    assert stage.platform.logs(datetime.now(UTC) - timedelta(hours=1))


def test_a_configuration_that_is_a_link_stays_one(stage) -> None:
    real = stage.place / "checked-out.conf"
    stage.configuration.rename(real)
    stage.configuration.symlink_to(real)
    assert stage.platform.activate("two")
    assert stage.configuration.is_symlink()
    assert stage.serving() == ["two"]
    assert stage.platform.status().release == "two"
    assert not [path for path in stage.place.iterdir() if path.name.endswith((".new", ".before"))]
