"""pm2: what is particular to a daemon that is started by being asked and remembers where it was."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import loaded
from subshell import Subshell

from ops.errors import ServiceError, ServiceMissing
from ops.platforms import State, open_platform
from ops.platforms.shell import Ran

pytestmark = pytest.mark.slow

SERVER = """
const fs = require('fs');
const release = fs.readFileSync('release.txt', 'utf8');
require('http').createServer((_, answer) => answer.end(release)).listen(process.argv[2], '127.0.0.1',
  () => process.send && process.send('ready'));
"""


class Heard(Subshell):
    """Keeps everything that was said on the way."""

    def __init__(self) -> None:
        self.said = ""

    def run(self, script: str, timeout: float = 60) -> Ran:
        ran = super().run(script, timeout)
        self.said += script + ran.out + ran.err
        return ran


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    with loaded("pm2").staged(tmp_path_factory, request) as staged:
        yield staged


def environment(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def answer(stage) -> str:
    return urllib.request.urlopen(f"http://127.0.0.1:{stage.ports[0]}/", timeout=5).read().decode()


def fields(stage, id: int) -> dict:
    return next(one for one in stage.list() if one["pm_id"] == id)


def test_no_daemon_is_started_by_asking(stage) -> None:
    stage.pm2("kill")
    for act in (stage.platform.status, stage.platform.logs, lambda: stage.platform.restart("web:0")):
        with pytest.raises(ServiceError, match="pm2 does not run") as failure:
            act()
        assert "pm2 resurrect" in failure.value.hint
    assert not (stage.home / "pm2.pid").exists()


def test_nor_when_a_killed_one_left_its_file(stage) -> None:
    daemon = int((stage.home / "pm2.pid").read_text())
    pids = [one["pid"] for one in stage.list()]
    os.kill(daemon, signal.SIGKILL)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    for pid in (str(daemon), str(os.getpid())):
        (stage.home / "pm2.pid").write_text(pid)
        with pytest.raises(ServiceError, match="pm2 does not run"):
            stage.platform.status()
        assert (stage.home / "pm2.pid").read_text() == pid


def test_a_home_that_is_not_named_is_the_users_own(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(stage.place))
    monkeypatch.setenv("PM2_HOME", str(stage.place / "elsewhere"))
    (stage.place / ".pm2").symlink_to(stage.home)
    platform = open_platform(stage.service.model_copy(update={"home": None}), stage.shell)
    assert [one.name for one in platform.status().instances] == ["web:0", "web:1"]
    platform.restart("web:0")
    assert not (stage.place / "elsewhere").exists()


def test_no_environment_leaves_the_host(stage) -> None:
    shell = Heard()
    platform = open_platform(stage.service, shell)
    platform.activate("two")
    for instance in platform.status().instances:
        platform.restart(instance.name)
        platform.stop(instance.name)
        platform.start(instance.name)
    platform.logs()
    assert "a-secret-of-the-process" not in shell.said
    assert environment(fields(stage, 0)["pid"])["TOKEN"] == "a-secret-of-the-process"


def test_one_is_restarted_alone_and_in_the_new_directory(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_OPERATOR", "not of the process")
    other = fields(stage, 1)["pid"]
    stage.platform.activate("two")
    assert [one.release for one in stage.platform.status().instances] == ["three", "three"]
    stage.platform.restart("web:0")
    stage.answered()
    assert stage.serving() == ["two", "three"]
    status = stage.platform.status()
    assert status.release == "two"
    assert [one.release for one in status.instances] == ["two", "three"]
    assert fields(stage, 1)["pid"] == other
    given = environment(fields(stage, 0)["pid"])
    assert given["PWD"] == f"{stage.base}/current"
    assert "OF_THE_OPERATOR" not in given


def test_once_led_over_it_follows_the_link_by_itself(stage) -> None:
    stage.platform.activate("two")
    stage.platform.restart("web:0")
    stage.platform.activate("one")
    assert [one.release for one in stage.platform.status().instances] == ["two", "three"]
    os.kill(fields(stage, 0)["pid"], signal.SIGKILL)
    time.sleep(1)
    stage.answered()
    assert stage.serving() == ["one", "three"]
    stage.pm2("restart", "0")
    stage.answered()
    assert stage.serving()[0] == "one"


def test_one_that_was_started_behind_the_link_follows_it(stage) -> None:
    stage.pm2("delete", "all")
    stage.serve(stage.base / "current")
    stage.platform.activate("one")
    for instance in stage.platform.status().instances:
        stage.platform.restart(instance.name)
    stage.answered()
    assert stage.serving() == ["one", "one"]
    assert {one.release for one in stage.platform.status().instances} == {"one"}


def test_releases_that_are_reached_through_a_link_are_known(stage) -> None:
    (stage.place / "www").symlink_to(stage.base)
    service = stage.service.model_copy(update={"releases": f"{stage.place}/www"})
    platform = open_platform(service, stage.shell)
    assert {one.release for one in platform.status().instances} == {"three"}
    platform.activate("two")
    platform.restart("web:1")
    stage.answered()
    assert stage.serving() == ["three", "two"]
    assert [one.release for one in platform.status().instances] == ["three", "two"]


def test_the_link_leading_nowhere_is_said_and_what_runs_runs_on(stage) -> None:
    (stage.base / "current").unlink()
    (stage.base / "current").symlink_to("releases/gone")
    with pytest.raises(ServiceError, match="leads nowhere"):
        stage.platform.restart("web:0")
    assert stage.serving() == ["three", "three"]


def test_a_cluster_is_restarted_one_by_one(stage) -> None:
    stage.pm2("delete", "all")
    for release in stage.releases:
        (stage.base / "releases" / release / "server.js").write_text(SERVER)
    app = {"name": "web", "script": "server.js", "args": [str(stage.ports[0])], "instances": 2, "exec_mode": "cluster",
           "wait_ready": True, "cwd": str(stage.base / "releases" / "three")}  # fmt: skip
    (stage.place / "cluster.json").write_text(json.dumps({"apps": [app]}))
    stage.pm2("start", stage.place / "cluster.json")
    names = [one.name for one in stage.platform.status().instances]
    assert len(names) == 2
    stage.platform.activate("two")
    for name in names:
        stage.platform.restart(name)
        assert answer(stage) in ("two", "three")
    assert [(one.name, one.release) for one in stage.platform.status().instances] == [(name, "two") for name in names]
    answers = {answer(stage) for _ in range(6)}
    assert answers == {"two"}


def test_one_that_dies_a_second_later_is_seen(stage) -> None:
    stage.breaks()
    stage.platform.restart("web:0")
    seen = set()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and State.FAILED not in {state for state, _ in seen}:
        one = stage.platform.status().of("web:0")
        seen.add((one.state, one.since))
    assert State.FAILED in {state for state, _ in seen}
    assert stage.platform.status().of("web:1").state is State.RUNNING
    assert "broken, as told" in stage.platform.logs()


def test_a_crash_loop_is_a_failure_whenever_one_looks(stage, tmp_path: Path) -> None:
    """Most of the time such a process is up, and pm2 calls it online."""
    script = tmp_path / "dying.sh"
    script.write_text("sleep 0.7\n")
    stage.pm2("start", script, "--name", "dying", "--interpreter", "sh")
    platform = open_platform(stage.service.model_copy(update={"process": "dying", "releases": None}), stage.shell)
    deadline = time.monotonic() + 15
    while platform.status().state is not State.FAILED and time.monotonic() < deadline:
        time.sleep(0.1)
    looks = {platform.status().state for _ in range(6)}
    # For a moment, before it starts it once more, pm2 calls it stopped.
    assert looks <= {State.FAILED, State.STOPPED}


def test_restarts_are_counted_as_far_as_pm2_tells_them_apart(stage, tmp_path: Path) -> None:
    script = tmp_path / "dying.sh"
    script.write_text(f"echo >> {tmp_path}/started; [ $(wc -l < {tmp_path}/started) -lt 4 ] || exec sleep 60\n")
    stage.pm2("start", script, "--name", "dying", "--interpreter", "sh")
    platform = open_platform(stage.service.model_copy(update={"process": "dying", "releases": None}), stage.shell)
    deadline = time.monotonic() + 15
    while len((tmp_path / "started").read_text()) < 4 or platform.status().instances[0].restarts != 2:
        assert time.monotonic() < deadline, platform.status()
        time.sleep(0.1)
    stage.pm2("restart", "dying")
    assert platform.status().instances[0].restarts is None, "how many of them somebody asked for is not told"


def test_names_that_are_not_there_are_said_with_those_that_are(stage) -> None:
    with pytest.raises(ServiceMissing, match="no process nothing") as failure:
        stage.unknown().status()
    assert "there are: web" in failure.value.hint
    with pytest.raises(ServiceMissing, match="no instance web:9") as failure:
        stage.platform.restart("web:9")
    assert "web:0, web:1" in failure.value.hint


def test_pm2_that_is_not_there_is_said(stage) -> None:
    platform = open_platform(stage.service.model_copy(update={"command": "/nowhere/pm2"}), stage.shell)
    with pytest.raises(ServiceError, match="not found") as failure:
        platform.status()
    assert "command=" in failure.value.hint
