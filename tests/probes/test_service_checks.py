"""Whether the services run and what their logs hold, on a real supervisord and on a stand-in of a cloud."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyinfra_command import CommandLine, failed, succeeded
from servers import running
from standins.cloudflare import ACCOUNT, BASE, TOKEN, CloudflareApi, now_ms
from surroundings import Hanging, Here, Lost, around, described

from ops import ServiceLog, ServicesRunning, Supervisor, Workers, probes
from ops.checks import Check, Outcome, Result
from ops.errors import ConfigurationError
from ops.platforms.shell import Shell
from ops.probes.pool import Question, answers
from ops.sandbox import ports
from ops.sandbox.supervisor import WebServer
from ops.secrets import Secret


@dataclass
class Web:
    """The web service of the sandbox, and a shell beside it."""

    server: WebServer
    service: Supervisor

    def ctl(self, *words: str) -> str:
        command = [self.server.command, "-c", self.server.configuration, *words]
        return subprocess.run(command, capture_output=True, text=True).stdout

    def ask(self, check: Check, *hosts: Shell, **fields: object) -> list[Result]:
        """What came of a check, asked of the service with other fields on so many hosts; none: here alone."""
        service = self.service.model_copy(update=fields)
        return probes.ask(check, around(described(services=[service]), app=list(hosts) or [Here()]))


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    server = WebServer(tmp_path_factory.mktemp("web") / "server")
    with running(server):
        yield server


@pytest.fixture
def web(supervised: WebServer) -> Iterator[Web]:
    """Two instances that are well, whatever an earlier test did."""
    service = Supervisor(
        name="web",
        hosts="app",
        programs=supervised.instances,
        configuration=str(supervised.configuration),
        command=supervised.command,
        ports=[supervised.ports[name] for name in supervised.instances],
        health="http://127.0.0.1:{port}/",
    )
    web = Web(supervised, service)
    yield web
    web.ctl("start", "all")


@pytest.fixture
def cloud() -> Iterator[CloudflareApi]:
    with CloudflareApi() as cloud:
        yield cloud
    assert not cloud.violations


def worker(cloud: CloudflareApi, token: str = TOKEN, script: str = "web") -> Workers:
    return Workers(
        name="edge", script=script, account=ACCOUNT, api=f"{cloud.url}{BASE}", token=Secret("T", lambda: token),
        health=f"{cloud.url}/edge",
    )  # fmt: skip


def test_services_that_are_well_pass_in_one_row_for_each_place(web: Web, cloud: CloudflareApi) -> None:
    environment = described(services=[web.service, worker(cloud)])
    at = around(environment, app=[Here("app-1"), Here("app-2")])
    found = probes.ask(ServicesRunning(), at)
    assert [(one.what, one.where, one.outcome, one.value) for one in found] == [
        ("web", "app-1", "pass", "2 healthy"),
        ("web", "app-2", "pass", "2 healthy"),
        ("edge", "workers", "pass", "1 healthy"),
    ]
    assert [one.what for one in probes.ask(ServicesRunning(services=("edge",)), at)] == ["edge"]
    (found,) = web.ask(ServicesRunning(), health=None)
    assert (found.value, found.limit) == ("2 running", "all running")


def test_an_instance_that_is_stopped_fails_and_is_named(web: Web) -> None:
    web.ctl("stop", "web_2")
    (found,) = web.ask(ServicesRunning())
    assert (found.outcome, found.value) == (Outcome.FAIL, "web_2 is stopped")
    assert found.hint == "Type: pyinfra test deploys/start.py --data service=web"


def test_as_typed_a_service_that_is_down_is_named_and_nothing_else(web: Web, tmp_path: Path) -> None:
    line = CommandLine(tmp_path)
    checks = [ServicesRunning(), ServiceLog(service="web", pattern="no such line")]
    line.describe(described(services=[web.service], checks=checks), runner=["@local"], app=["@local"])
    assert "2 pass" in succeeded(line.run("deploys/verify.py"))
    web.ctl("stop", "web_1")
    said = failed(line.run("deploys/verify.py"))
    assert "1 fail, 1 pass" in said and "web_1 is stopped" in said
    assert "test is not as it must be: services: web (@local)" in said


def test_an_instance_that_died_and_is_not_yet_back_fails(web: Web) -> None:
    """supervisord takes it for started after a second only: until then it is one that starts, or has failed."""
    (web.server.data / "broken").touch()
    try:
        web.ctl("restart", "web_1")
        until = time.monotonic() + 20
        while (found := web.ask(ServicesRunning())[0]).outcome is not Outcome.FAIL:
            assert found.outcome is Outcome.WARN, found
            assert found.value == "web_1 is starting" and time.monotonic() < until
        assert found.value == "web_1 is failed"
    finally:
        (web.server.data / "broken").unlink()
        web.ctl("restart", "web_1")


def test_an_instance_that_is_not_healthy_fails_in_the_words_of_who_asked(web: Web) -> None:
    nobody = ports.free()
    (found,) = web.ask(ServicesRunning(), ports=(web.service.ports[0], nobody))
    assert found.outcome is Outcome.FAIL
    assert found.value.startswith(f"web_2 http://127.0.0.1:{nobody}/ does not answer")
    (found,) = web.ask(ServicesRunning(), health="http://127.0.0.1:{port}/customers")
    first, second = (f"http://127.0.0.1:{port}/customers answers 500" for port in web.service.ports)
    assert found.value == f"web_1 {first}; web_2 {second}"


def test_a_program_or_a_script_that_does_not_exist_fails(web: Web, cloud: CloudflareApi) -> None:
    (found,) = web.ask(ServicesRunning(), programs=("web_1", "web_3"))
    assert found.outcome is Outcome.FAIL and "supervisord has no program web_3" in found.value
    at = around(described(services=[worker(cloud, script="nothing")]))
    (found,) = probes.ask(ServicesRunning(), at)
    assert found.outcome is Outcome.FAIL and "does not exist" in found.value


def test_where_nobody_answers_it_is_unknown_and_the_other_hosts_are_told(web: Web, cloud: CloudflareApi) -> None:
    began = time.monotonic()
    hosts = [Here("app-1"), Lost("app-2"), Hanging("app-3")]
    environment = described(services=[web.service, worker(cloud, token="wrong-token")])
    (results,) = answers([
        Question("services", lambda: probes.ask(ServicesRunning(timeout=5), around(environment, app=hosts)), 5)
    ])  # fmt: skip
    assert time.monotonic() - began < 20, "who hangs is waited for"
    assert [(one.name, one.where, one.outcome) for one in results] == [
        ("services: web", "app-1", "pass"),
        ("services: web", "app-2", "unknown"),
        ("services: web", "app-3", "unknown"),
        ("services: edge", "workers", "unknown"),
    ]
    assert results[1].value == "the connection to app-2 broke"
    assert "no answer within" in results[2].value
    assert "403" in results[3].value and "wrong-token" not in str(results)


def test_a_supervisord_that_does_not_run_is_unknown(web: Web, tmp_path: Path) -> None:
    nowhere = tmp_path / "supervisord.conf"
    nowhere.write_text(f"[supervisorctl]\nserverurl = unix://{tmp_path}/socket\n")
    (found,) = web.ask(ServicesRunning(), configuration=str(nowhere))
    assert found.outcome is Outcome.UNKNOWN and "supervisord does not answer" in found.value
    (found,) = web.ask(ServiceLog(service="web", pattern="x"), configuration=str(nowhere))
    assert found.outcome is Outcome.UNKNOWN, "what it says of itself is no log of the service"


def test_a_group_that_is_not_there_is_unknown_for_its_services_alone(web: Web, cloud: CloudflareApi) -> None:
    environment = described(services=[web.service, worker(cloud)])
    found = {one.what: one for one in probes.ask(ServicesRunning(), around(environment))}
    assert found["web"].outcome is Outcome.UNKNOWN and "no group app" in found["web"].value
    assert found["edge"].outcome is Outcome.PASS


@pytest.mark.parametrize("check", [ServicesRunning(services=("wep",)), ServiceLog(service="wep", pattern="x")])
def test_a_service_that_is_not_described_is_said(web: Web, check: Check) -> None:
    with pytest.raises(ConfigurationError, match="there is no service wep in test") as failure:
        web.ask(check)
    assert "Did you mean web?" in failure.value.hint
    with pytest.raises(ConfigurationError):
        probes.ask(check, around(described()))


def test_an_environment_without_services_has_none_that_could_run() -> None:
    with pytest.raises(ConfigurationError, match="test describes no services") as failure:
        probes.ask(ServicesRunning(), around(described()))
    assert "services=[…]" in failure.value.hint


def log_of(cloud: CloudflareApi, check: ServiceLog) -> Result:
    (found,) = probes.ask(check, around(described(services=[worker(cloud)])))
    assert found.what == "" and found.where == "workers"
    return found


def say(cloud: CloudflareApi, message: str, seconds_ago: float = 0) -> None:
    cloud.log.append({"timestamp": now_ms() - int(1000 * seconds_ago), "$metadata": {"message": message}})
    cloud.log.sort(key=lambda each: each["timestamp"], reverse=True)


def test_lines_of_a_log_are_counted_since_a_time_and_not_shown(cloud: CloudflareApi) -> None:
    errors = ServiceLog(service="edge", pattern=r"ERROR|panic")
    assert log_of(cloud, errors).value == "0 lines"
    for age in (7200, 100, 95):
        say(cloud, "ERROR token=of-a-customer", age)
    found = log_of(cloud, errors)
    assert found.outcome is Outcome.FAIL
    assert re.fullmatch(r"2 lines, the last 1m \d+s ago", found.value) and found.limit == "≤ 0 in 1h"
    assert "of-a-customer" not in str(found)
    assert log_of(cloud, errors.model_copy(update={"at_most": 2})).outcome is Outcome.PASS
    assert log_of(cloud, errors.model_copy(update={"since": "1m"})).outcome is Outcome.PASS
    assert log_of(cloud, errors.model_copy(update={"since": "3h"})).value.startswith("3 lines")


def test_a_log_of_more_lines_than_are_read_is_unknown_unless_those_are_too_many_already(cloud: CloudflareApi) -> None:
    for _ in range(30):
        say(cloud, "served", 50)
    say(cloud, "ERROR", 10)
    found = log_of(cloud, ServiceLog(service="edge", pattern="ERROR", at_most=1, lines=20))
    assert found.outcome is Outcome.UNKNOWN
    assert re.fullmatch(r"1 line, the last \d+s ago, among the last 21, which is all that was read", found.value)
    assert log_of(cloud, ServiceLog(service="edge", pattern="ERROR", lines=20)).outcome is Outcome.FAIL
    assert log_of(cloud, ServiceLog(service="edge", pattern="ERROR", at_most=1, lines=50)).outcome is Outcome.PASS
    for _ in range(1000):
        say(cloud, "served", 5)
    found = log_of(cloud, ServiceLog(service="edge", pattern="ERROR", at_most=1))
    assert found.outcome is Outcome.UNKNOWN, "more than a cloud gives at once"


def test_a_log_without_a_line_proves_nothing(cloud: CloudflareApi) -> None:
    """So it is where Workers Logs is not enabled for the script."""
    cloud.log.clear()
    found = log_of(cloud, ServiceLog(service="edge", pattern="ERROR"))
    assert found.outcome is Outcome.UNKNOWN and found.value == "its log has no line at all"


def test_a_log_that_cannot_be_asked_for_is_unknown(web: Web, cloud: CloudflareApi) -> None:
    at = around(described(services=[worker(cloud, token="wrong-token")]))
    (found,) = probes.ask(ServiceLog(service="edge", pattern="x"), at)
    assert found.outcome is Outcome.UNKNOWN and "403" in found.value
    first, second = web.ask(ServiceLog(service="web", pattern="no such line"), Here("app-1"), Lost("app-2"))
    assert (first.where, first.outcome) == ("app-1", "pass")
    assert (second.where, second.outcome) == ("app-2", "unknown")


def test_of_a_log_without_times_only_what_it_does_not_hold_is_known(web: Web) -> None:
    (found,) = web.ask(ServiceLog(service="web", pattern="no such line"))
    assert found.outcome is Outcome.PASS
    (found,) = web.ask(ServiceLog(service="web", pattern="on port"))
    assert found.outcome is Outcome.UNKNOWN and "does not tell since when" in found.value
    (found,) = web.ask(ServiceLog(service="web", pattern="on port", at_most=10_000))
    assert found.outcome is Outcome.PASS
    (log,) = web.server.data.glob("web_1-stdout*")
    with log.open("a") as file:
        file.write(f"{'long ' * 100}\n" * 10)
    (found,) = web.ask(ServiceLog(service="web", pattern="no such line", lines=20))
    assert found.outcome is Outcome.UNKNOWN and "which is all that was read" in found.value
