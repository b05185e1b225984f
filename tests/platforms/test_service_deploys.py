"""The deploys and operations on services as typed, where the service is an nginx or on a cloud."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pyinfra_command import CommandLine, failed, succeeded
from stage import Stage, loaded
from standins.cloudflare import ACCOUNT, BASE, TOKEN, CloudflareApi, now_ms

from ops import Directory, Environment, Postgres, Queues
from ops.secrets import Secret

pytestmark = pytest.mark.slow


def environment(line: CommandLine, *services, queues: Queues | None = None) -> Environment:
    nowhere = Postgres(host="127.0.0.1", database="none")
    store = Directory(path=str(line.directory / "store"))
    return Environment(name="test", database=nowhere, store=store, services=services, queues=queues)


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def staged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Stage]]:
    """Sets up a platform's stage."""
    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(loaded(kind).staged(tmp_path_factory, request))


def changes(done: subprocess.CompletedProcess[str]) -> int:
    succeeded(done)
    totals = json.loads(done.stdout)["results"]["totals"]
    assert totals["error"] == 0
    return int(totals["success"])


def test_maintenance_is_turned_on_and_off_once(staged, line: CommandLine) -> None:
    nginx = staged("nginx")
    line.describe(environment(line, nginx.service), runner=["@local"], edge=["@local"])
    said = failed(line.run("deploys/maintenance.py", "--data", "mode=on"))
    assert "Put this line first into the server block: include" in said
    text = nginx.configuration.read_text()
    include = f"include {nginx.place}/maintenance/server.conf;"
    nginx.configuration.write_text(text.replace("server {", f"server {{\n  {include}", 1))
    nginx.platform.restart("nginx")
    dry = line.run("--dry", "deploys/maintenance.py", "--data", "mode=on", yes=False)
    assert "Would: turn maintenance of web on" in succeeded(dry)
    assert nginx.serving() == ["three"]
    for mode in ("on", "off"):
        typed = ("--json", "deploys/maintenance.py", "--data", f"mode={mode}")
        assert changes(line.run(*typed)) == 1
        assert changes(line.run(*typed)) == 0
    assert nginx.serving() == ["three"]
    succeeded(line.run("deploys/maintenance.py", "--data", "mode=on"))
    nginx.configuration.write_text(text)
    nginx.platform.restart("nginx")
    said = failed(line.run("deploys/maintenance.py", "--data", "mode=on"))
    assert "nginx does not include" in said, "visitors are served, whatever lies there"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "it is not said whether maintenance is to be on or off. Write --data mode=on, or --data mode=off"),
        (["--data", "mode=maybe"], "mode=maybe is neither on nor off"),
        (["--data", "mode=on", "--data", "service=nothing"], "there is no service nothing in test"),
    ],
)
def test_a_mode_that_cannot_be_meant_is_one_line(staged, line: CommandLine, words: list[str], said: str) -> None:
    nginx = staged("nginx")
    line.describe(environment(line, nginx.service), runner=["@local"], edge=["@local"])
    assert said in failed(line.run("deploys/maintenance.py", *words))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["systemd", "pm2", "docker"])
def test_a_service_on_a_host_is_shown_rolled_stopped_and_started(staged, line: CommandLine, kind: str) -> None:
    stage = staged(kind)
    line.entrance = stage.entrance
    line.describe(environment(line, stage.service), runner=["@local"], app=[stage.host])
    shown = succeeded(line.run("deploys/services.py"))
    assert re.search(r"web +\S+ +three +2026-03-01 00:00Z.* all 2 healthy", shown), shown
    assert "web can go to: two, one" in shown
    assert changes(line.run("--json", "deploys/restart.py")) == 1
    activate = ("--json", "ops.operations.services.activate", "service=web", "release=two")
    assert changes(line.run(*activate)) == 1
    assert stage.serving() == ["two", "two"]
    assert changes(line.run(*activate)) == 0
    assert "has no release nothing. There are: two, three, one" in failed(line.run(*activate[1:3], "release=nothing"))
    assert changes(line.run("--json", "deploys/stop.py")) == 1
    assert changes(line.run("--json", "deploys/stop.py")) == 0
    assert changes(line.run("--json", "deploys/start.py")) == 1
    assert changes(line.run("--json", "deploys/start.py")) == 0
    assert stage.serving() == ["two", "two"]
    stage.breaks()
    said = failed(line.run("deploys/restart.py"))
    assert re.search(r"did not stay up|is not healthy after", said), said
    assert re.search(r"\| .*broken, as told", said), said


@pytest.mark.slow
def test_the_table_of_twenty_hosts_takes_little_longer_than_that_of_one(staged, line: CommandLine) -> None:
    """Twenty connections to one machine, which has no processors but ours."""
    stage = staged("systemd")
    line.entrance = stage.entrance
    _, data = stage.host
    names = [f"app-{number}" for number in range(1, 21)]
    line.describe(environment(line, stage.service), runner=["@local"], app=[(name, data) for name in names])
    seconds: dict[int, list[float]] = {20: [], 1: []}
    for _ in range(3):
        for number, limit in ((20, []), (1, ["--limit", "app-1", "--limit", "@local"])):
            began = time.monotonic()
            shown = succeeded(line.run("deploys/services.py", *limit))
            seconds[number].append(time.monotonic() - began)
            assert shown.count("all 2 healthy") == number
    twenty, one = (sorted(seconds[number])[1] for number in (20, 1))
    print(f"table of twenty {twenty:.2f} s, of one {one:.2f} s, ratio {twenty / one:.2f}")
    assert twenty <= 4 * one


def test_a_script_on_workers_is_shown_and_rolled_and_cannot_be_stopped(staged, line: CommandLine) -> None:
    stage = staged("workers")
    line.describe(environment(line, stage.service), runner=["@local"])
    assert "healthy" in succeeded(line.run("deploys/services.py"))
    activate = ("--json", "ops.operations.services.activate", "service=web", f"release={stage.releases[1]}")
    assert changes(line.run(*activate)) == 1
    assert stage.serving() == [stage.releases[1]]
    assert changes(line.run(*activate)) == 0
    before = stage.writes()
    said = failed(line.run("deploys/stop.py"))
    assert "cannot be stopped" in said
    assert stage.writes() == before


@pytest.mark.parametrize("kind", ["fly", "railway", "cloudrun"])
def test_a_service_on_a_cloud_is_shown_restarted_stopped_and_started(staged, line: CommandLine, kind: str) -> None:
    stage = staged(kind)
    line.describe(environment(line, stage.service), runner=["@local"])
    shown = succeeded(line.run("deploys/services.py"))
    assert stage.releases[2].rpartition("/")[2][:8] in shown
    assert re.search("healthy|running", shown)
    assert changes(line.run("--json", "deploys/restart.py")) == 1
    assert changes(line.run("--json", "deploys/stop.py")) == 1
    assert changes(line.run("--json", "deploys/stop.py")) == 0
    assert changes(line.run("--json", "deploys/start.py")) == 1
    assert changes(line.run("--json", "deploys/start.py")) == 0


def test_a_queue_is_paused_once_and_purged_only_when_it_is_confirmed(line: CommandLine) -> None:
    with CloudflareApi() as cloud:
        token = Secret("CLOUDFLARE_API_TOKEN", lambda: TOKEN)
        queues = Queues(account=ACCOUNT, token=token, api=f"{cloud.url}{BASE}")
        line.describe(environment(line, queues=queues), runner=["@local"])
        (jobs,) = [queue["queue_id"] for queue in cloud.queues if queue["queue_name"] == "jobs"]
        cloud.messages[jobs] += [now_ms()] * 3
        pause = ("--json", "ops.operations.queues.paused", "queue=jobs", "paused=true")
        assert changes(line.run(*pause)) == 1
        assert changes(line.run(*pause)) == 0
        off = ("ops.operations.queues.paused", "queue=jobs", "paused=off")
        assert "paused=off is neither true nor false" in failed(line.run(*off))
        backlogs = json.loads(succeeded_out(line, "--json", "fact", "ops.facts.queues.Backlogs"))
        waiting = backlogs["ops.facts.queues.Backlogs"]["@local"]["jobs"]
        assert waiting["paused"] is True
        purge = ("ops.operations.queues.purge", "queue=jobs")
        said = failed(line.run(*purge))
        assert f"would delete its {waiting['messages']} messages for good. If so, add confirm=test" in said
        assert changes(line.run("--json", *purge, "confirm=test")) == 1
        assert changes(line.run("--json", *purge, "confirm=test")) == 0
        assert not cloud.violations


def succeeded_out(line: CommandLine, *words: str) -> str:
    done = line.run(*words)
    succeeded(done)
    return done.stdout
