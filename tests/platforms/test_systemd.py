"""What is particular to systemd, on a real one."""

from __future__ import annotations

import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from shlex import quote

import pytest
from stage import Stage

from ops import Directory, Environment, Postgres, ServiceLog, ServicesRunning, Systemd, probes, roll
from ops.errors import HostUnreachable, ServiceError, ServiceMissing, ServiceUnhealthy
from ops.platforms import State, crash_loop, open_platform
from ops.platforms.shell import Ran
from ops.probes.around import Around

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("stage", ["systemd"], indirect=True)]

PLAIN = "ExecStart=sleep infinity"
LOOP = "ExecStart=sh -c 'echo dying; exit 3'\nRestart=always\nRestartSec=60"
LIMITED = "ExecStart=sh -c 'test -e /srv/web/mended && exec sleep infinity'\nRestart=always\nRestartSec=0"


def write(stage: Stage, lines: str, name: str = "other") -> None:
    text = quote(f"[Service]\n{lines}\n")
    stage.must(f"printf %s {text} > /etc/systemd/system/{name}.service; systemctl daemon-reload")


def test_a_crash_loop_is_a_failure(stage: Stage) -> None:
    write(stage, LOOP)
    platform = stage.other("other")
    platform.start("other")
    stage.until("other", State.FAILED)
    assert stage.must("systemctl show -p SubState other").strip() == "SubState=auto-restart"
    (instance,) = platform.status().instances
    assert instance.since is None
    stage.logged(platform, "dying")
    platform.stop("other")
    time.sleep(0.2)
    assert stage.must("systemctl show -p SubState other").strip() != "SubState=auto-restart"


def test_a_crash_loop_is_a_failure_whenever_one_looks(stage: Stage) -> None:
    """Most of the time such a unit is up, and systemd calls it active."""
    write(stage, "ExecStart=sleep 1\nRestart=always\nRestartSec=100ms\nStartLimitIntervalSec=0")
    platform = stage.other("other")
    platform.start("other")
    stage.must("until [ $(systemctl show -p NRestarts --value other) -gt 0 ]; do sleep 0.05; done")
    looks = set()
    until = time.monotonic() + 4
    while time.monotonic() < until:
        looks.add(platform.status().state)
    assert looks == {State.FAILED}
    assert stage.must("systemctl show -p NRestarts --value other").strip() != "1"
    write(stage, "ExecStart=sleep infinity")
    platform.restart("other")
    assert platform.status().state is State.RUNNING, "what somebody starts is not blamed for what was before"


def test_restarts_by_itself_are_counted_until_somebody_restarts_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(stage, "ExecStart=sleep infinity\nRestart=always\nRestartSec=0")
    service = stage.service.model_copy(update={"units": ("other",), "health": None, "releases": None})
    platform = stage.other("other", releases=None)
    platform.start("other")
    assert platform.status().of("other").restarts == 0
    assert running(stage, service) == ("pass", "1 running")
    for count in ("1", "2"):
        stage.must("systemctl kill -s KILL other")
        stage.must(f"until [ $(systemctl show -p NRestarts --value other) = {count} ]; do sleep 0.05; done")
    stage.until("other", State.FAILED)
    assert platform.status().of("other").restarts == 2
    outcome, said = running(stage, service)
    assert (outcome, said) == ("fail", "other is failed and was restarted by itself 2 times")
    monkeypatch.setattr(crash_loop, "_RAN_WELL", timedelta.min)  # as if it held for longer than that
    outcome, said = running(stage, service)
    assert outcome == "fail" and re.fullmatch(r"other was restarted by itself 2 times, the last time \d+s ago", said)
    assert running(stage, service, restarts=2) == ("pass", "1 running")
    assert running(stage, service, window="0s") == ("pass", "1 running")
    stage.must("systemctl restart other")
    assert platform.status().of("other").restarts == 0
    assert running(stage, service) == ("pass", "1 running")


def running(stage: Stage, service: Systemd, **limits: object) -> tuple[str, str]:
    """What the check of services says."""
    (found,) = probes.ask(ServicesRunning(**limits), around(stage, service))
    return found.outcome, found.value


def around(stage: Stage, service: Systemd) -> Around:
    nowhere = Postgres(host="127.0.0.1", database="nowhere")
    store = Directory(path="/nowhere/backups")
    environment = Environment(name="test", database=nowhere, store=store, services=[service])
    return Around(environment, lambda group: [stage.shell], lambda *_, **__: {})


def test_lines_of_the_journal_are_counted_since_a_time(stage: Stage) -> None:
    write(stage, "ExecStart=sh -c 'echo ERROR one; echo ERROR two; exec sleep infinity'")
    service = stage.service.model_copy(update={"units": ("other",), "health": None, "releases": None})
    platform = stage.other("other")
    platform.start("other")
    stage.logged(platform, "ERROR two")

    def count(pattern: str, **limits: object) -> tuple[str, str]:
        (found,) = probes.ask(ServiceLog(service="web", pattern=pattern, **limits), around(stage, service))
        return found.outcome, found.value

    outcome, said = count("ERROR")
    assert outcome == "fail" and re.fullmatch(r"2 lines, the last \d+s ago", said)
    assert count("ERROR", at_most=2)[0] == "pass"
    assert count("CRITICAL") == ("pass", "0 lines")
    assert count("CRITICAL", lines=1)[0] == "unknown"
    assert count("ERROR", since="0s") == ("pass", "0 lines")


def test_a_unit_that_dies_and_comes_back_does_not_hold(stage: Stage) -> None:
    write(stage, "ExecStart=sleep 0.4\nRestart=always\nRestartSec=0\nStartLimitIntervalSec=0")
    service = stage.service.model_copy(update={"units": ("other",), "health": None, "releases": None})
    with pytest.raises(ServiceUnhealthy, match="other did not stay up"):
        roll.restarted(service, open_platform(service, stage.shell), stage.shell, lambda _: None)


def test_a_unit_over_its_start_limit_is_started_once_it_is_repaired(stage: Stage) -> None:
    write(stage, LIMITED)
    platform = stage.other("other")
    platform.start("other")
    stage.until("other", State.FAILED)
    stage.logged(platform, "repeated too quickly")
    assert stage.shell.run("systemctl start other").code, "the limit does not hold"
    stage.must("touch /srv/web/mended")
    platform.start("other")
    assert platform.status().state is State.RUNNING


def test_restarts_in_quick_succession_meet_no_limit(stage: Stage) -> None:
    platform = stage.platform
    for _ in range(8):
        platform.restart("web@8001")
    assert platform.status().of("web@8001").state is State.RUNNING


def test_a_unit_without_releases_is_restarted_and_cannot_be_rolled_back(stage: Stage) -> None:
    write(stage, PLAIN)
    platform = stage.other("other", releases=None)
    platform.start("other")
    status = platform.status()
    assert (status.state, status.release, status.since) == (State.RUNNING, None, None)
    before = status.of("other").since
    platform.restart("other")
    after = platform.status().of("other").since
    assert before is not None and after is not None and before < after < datetime.now(UTC)
    assert platform.releases() == []
    with pytest.raises(ServiceError, match="has no releases"):
        platform.activate("one")


def test_an_instance_that_was_not_restarted_runs_what_it_ran(stage: Stage) -> None:
    stage.platform.activate("two")
    stage.platform.restart("web@8002")
    status = stage.platform.status()
    assert [instance.release for instance in status.instances] == ["three", "two"]
    assert status.release == "two"


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_a_unit_that_does_not_exist_is_said_whatever_is_asked_of_it(stage: Stage, verb: str) -> None:
    with pytest.raises(ServiceMissing, match="host2: systemd has no unit nothing") as failure:
        getattr(stage.platform, verb)("nothing")
    assert "units=" in failure.value.hint


def test_an_alias_is_the_unit_it_stands_for(stage: Stage) -> None:
    write(stage, PLAIN)
    stage.must("ln -s other.service /etc/systemd/system/other-alias.service; systemctl daemon-reload")
    service = stage.service.model_copy(update={"units": ("other-alias", "web@8001")})
    platform = open_platform(service, stage.shell)
    platform.start("other-alias")
    assert [instance.name for instance in platform.status().instances] == ["other-alias", "web@8001"]
    assert platform.status().state is State.RUNNING


def test_a_masked_unit_cannot_be_started_and_says_why(stage: Stage) -> None:
    stage.must("systemctl mask other")
    with pytest.raises(ServiceError, match="masked"):
        stage.other("other").start("other")


def test_a_start_that_fails_is_left_to_be_seen_with_its_log(stage: Stage) -> None:
    write(stage, "Type=notify\nExecStart=sh -c 'echo no configuration; exit 1'")
    platform = stage.other("other")
    platform.restart("other")
    assert platform.status().state is State.FAILED
    stage.logged(platform, "no configuration")


def test_a_start_that_takes_long_is_seen_as_such(stage: Stage) -> None:
    write(stage, "Type=notify\nExecStart=sleep infinity")
    stage.must("systemctl start --no-block other")
    stage.until("other", State.STARTING)
    assert stage.other("other").status().of("other").since is not None


def test_the_log_begins_where_it_is_told_to(stage: Stage) -> None:
    time.sleep(0.1)
    now = datetime.now(UTC)
    assert stage.platform.logs(since=now) == []
    stage.platform.restart("web@8001")
    lines = stage.logged(stage.platform, "release three on port 8001", since=now)
    assert not any("port 8002" in line for line in lines)
    assert stage.platform.logs(since=now + timedelta(hours=1)) == []


def test_who_may_not_restart_is_told_so(stage: Stage) -> None:
    stage.shell = Nobody(stage.shell)
    before = stage.platform.status().of("web@8001").since
    with pytest.raises(ServiceError, match="web@8001 could not be told to restart") as failure:
        stage.platform.restart("web@8001")
    assert "sudo" in failure.value.hint
    assert stage.platform.status().of("web@8001").since == before


def test_a_host_without_systemd_is_said(stage: Stage) -> None:
    with pytest.raises(ServiceError, match="systemd does not answer") as failure:
        open_platform(stage.service, Without(stage.shell)).status()
    assert failure.value.hint


def test_an_older_systemctl_tells_the_time_too(stage: Stage) -> None:
    exact = stage.platform.status().of("web@8001").since
    stage.must("printf '#!/bin/sh\\ncase $* in *--timestamp*) exit 1;; esac\\nexec /bin/systemctl \"$@\"\\n'"
               " > /srv/web/systemctl; chmod +x /srv/web/systemctl")  # fmt: skip
    seconds = open_platform(stage.service, Older(stage.shell)).status().of("web@8001").since
    assert exact is not None and seconds == exact.replace(microsecond=0)


def test_what_does_not_hold_is_said_although_its_log_cannot_be_read(stage: Stage) -> None:
    stage.must("systemctl stop web@8002")
    shell = Journalless(stage.shell)
    with pytest.raises(ServiceUnhealthy, match="web@8001 was left as it is, because nobody else would have served"):
        roll._others_hold(stage.service.model_copy(update={"within": 0.5}),
                          open_platform(stage.service, shell), shell, "web@8001")  # fmt: skip
    stage.breaks()
    with pytest.raises(ServiceUnhealthy, match="web@8002") as failure:
        roll.restarted(stage.service, open_platform(stage.service, shell), shell, lambda _: None)
    assert "the journal cannot be read" in failure.value.log[0]


def test_a_restart_that_was_not_carried_out_is_a_failure(stage: Stage) -> None:
    service = stage.service.model_copy(update={"within": 1})
    shell = Idle(stage.shell)
    with pytest.raises(ServiceUnhealthy, match="it was not started anew, but runs since"):
        roll.restarted(service, open_platform(service, shell), shell, lambda _: None)


def test_it_is_all_the_same_by_ssh(stage: Stage) -> None:
    platform = open_platform(stage.service, Ssh(stage.lot))
    assert platform.status() == stage.platform.status()
    assert platform.activate("two")
    platform.restart("web@8001")
    assert platform.status().of("web@8001").release == "two"


class Changed:
    """A shell that runs each script in other circumstances."""

    before = "{script}"

    def __init__(self, shell) -> None:
        self.host = shell.host
        self._shell = shell

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        return self._shell.run(self.before.format(script=quote(script)), timeout)


class Nobody(Changed):
    """Of a user without rights."""

    before = "setpriv --reuid nobody --clear-groups sh -c {script}"


class Without(Changed):
    """Where there is no systemctl."""

    before = "PATH=/nowhere /bin/sh -c {script}"


class Journalless(Changed):
    """Where the journal may not be read."""

    before = "journalctl() {{ return 1; }}; eval {script}"


class Idle(Changed):
    """Where whatever changes something succeeds and does nothing."""

    before = 'systemctl() {{ case $* in *restart*) ;; *) command systemctl "$@";; esac; }}; eval {script}'


class Older(Changed):
    """Where systemctl knows no ``--timestamp``."""

    before = "PATH=/srv/web:$PATH sh -c {script}"


class Ssh:
    """OpenSSH's client."""

    def __init__(self, lot) -> None:
        machine = lot.machines[0]
        self.host = machine.name
        options = [
            "-i",
            lot.place / "id",
            "-o",
            f"UserKnownHostsFile={lot.place / 'known_hosts'}",
            "-o",
            "BatchMode=yes",
        ]
        self._command = lot.inside("ssh", *map(str, options), f"root@{machine.address}")

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        done = subprocess.run([*self._command, script], capture_output=True, text=True, timeout=timeout)
        if done.returncode == 255:
            raise HostUnreachable(f"{self.host}: {done.stderr}")
        return Ran(done.returncode, done.stdout, done.stderr)
