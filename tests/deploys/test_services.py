"""The deploys on services as typed, on a real supervisord with a web service in two instances."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import running

from ops.environment import root
from ops.sandbox.supervisor import RELEASES, WebServer

INVENTORY = """
from ops import Directory, Environment, Postgres, Supervisor, secret

environment = Environment(
    name="test",
    database=Postgres(url=secret("NOT_LOOKED_UP"), database="shop"),
    store=Directory(path={store!r}),
    services=[
        Supervisor(name="web", hosts="app", programs=["web_1", "web_2"], configuration={configuration!r},
                   command={command!r}, releases={releases!r}, ports={ports!r},
                   health="http://127.0.0.1:{{port}}/", within=10, settle=1),
    ],
)
runner = environment.group("@local")
app = environment.group("@local")
"""


@pytest.fixture(scope="module")
def supervised(tmp_path_factory):
    server = WebServer(tmp_path_factory.mktemp("web") / "server")
    with running(server):
        yield server


@pytest.fixture
def typed(supervised, tmp_path):
    """Types ``pyinfra INVENTORY …``; whatever happens, the service serves its newest release afterwards."""
    inventory = tmp_path / "test.py"
    inventory.write_text(
        INVENTORY.format(
            store=str(tmp_path / "store"),
            configuration=str(supervised.configuration),
            command=supervised.command,
            releases=str(supervised.releases),
            ports=[supervised.ports[name] for name in supervised.instances],
        )
    )

    def run(*words):
        return subprocess.run(
            [Path(sys.executable).with_name("pyinfra"), *words[:1], str(inventory), *words[1:]],
            cwd=root(),
            env={**os.environ, "PYTHONPATH": str(root()), "HOME": str(supervised.data)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    yield run
    (supervised.data / "broken").unlink(missing_ok=True)
    settled(supervised)


def settled(server):
    """Wait until all run: what was broken before may be between two tries of supervisord."""
    deadline = time.monotonic() + 60
    while ctl(server, "status").count("RUNNING") < len(server.instances):
        assert time.monotonic() < deadline, ctl(server, "status")
        ctl(server, "start", "all")
        time.sleep(0.2)


def ctl(server, *words):
    return subprocess.run([server.command, "-c", server.configuration, *words], capture_output=True, text=True).stdout


def serving(server):
    return [
        urllib.request.urlopen(f"http://127.0.0.1:{server.ports[name]}/", timeout=5).read().decode()
        for name in server.instances
    ]


def changes(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["results"]["totals"]["success"]


def test_the_table_says_what_serves_since_when_and_fits_in_100_columns(typed):
    shown = typed("-y", "deploys/services.py")
    assert shown.returncode == 0, shown.stderr
    row = next(line for line in shown.stderr.splitlines() if "@local" in line and RELEASES[2] in line)
    assert f"web can go to: {RELEASES[1]}, {RELEASES[0]}" in shown.stderr
    assert "all 2 healthy" in row
    assert max(map(len, shown.stderr.splitlines())) <= 104
    told = typed("-y", "--json", "deploys/services.py")
    assert changes(told) == 0
    (web,) = json.loads(told.stdout)["results"]["services"]
    assert (web["service"], web["place"], web["release"]) == ("web", "@local", RELEASES[2])
    assert (web["instances"], web["problems"]) == ({"web_1": "running", "web_2": "running"}, [])


def test_a_restart_starts_every_instance_anew(typed, supervised):
    before = ctl(supervised, "pid", "all").split()
    assert changes(typed("-y", "--json", "deploys/restart.py", "--data", "service=web")) == 1
    after = ctl(supervised, "pid", "all").split()
    assert len(set(before + after)) == 4
    assert serving(supervised) == [RELEASES[2]] * 2


def test_what_is_stopped_or_started_already_is_no_change(typed, supervised):
    assert changes(typed("-y", "--json", "deploys/stop.py")) == 1
    assert changes(typed("-y", "--json", "deploys/stop.py")) == 0
    shown = typed("-y", "deploys/services.py")
    assert "0 of 2 healthy" in shown.stderr
    assert "web on @local: web_1 is stopped" in shown.stderr
    assert changes(typed("-y", "--json", "deploys/start.py")) == 1
    assert changes(typed("-y", "--json", "deploys/start.py")) == 0
    assert serving(supervised) == [RELEASES[2]] * 2


def test_what_does_not_hold_stops_the_roll_and_the_other_instance_goes_on(typed, supervised):
    _, second = ctl(supervised, "pid", "web_1").strip(), ctl(supervised, "pid", "web_2").strip()
    (supervised.data / "broken").touch()
    run = typed("-y", "deploys/restart.py")
    assert run.returncode != 0
    assert "web_1 did not stay up" in run.stderr or "web_1 is not healthy" in run.stderr, run.stderr
    assert "| broken, as told" in run.stderr
    assert "Traceback" not in run.stderr
    assert ctl(supervised, "pid", "web_2").strip() == second


def test_dry_says_what_would_be_done_and_does_nothing(typed, supervised):
    before = ctl(supervised, "pid", "all")
    dry = typed("--dry", "deploys/restart.py")
    assert f"Would: restart web: web_1, web_2 (release {RELEASES[2]})" in dry.stderr, dry.stderr
    assert ctl(supervised, "pid", "all") == before


def test_a_release_is_activated_and_the_one_before_again(typed, supervised, tmp_path):
    deploy = tmp_path / "activate.py"
    deploy.write_text(
        "from pyinfra import host\nfrom ops.operations import services\n"
        'services.activate(name="Go", service="web", release=host.data.get("release"))\n'
    )
    assert changes(typed("-y", "--json", str(deploy), "--data", f"release={RELEASES[0]}")) == 1
    assert serving(supervised) == [RELEASES[0]] * 2
    assert changes(typed("-y", "--json", str(deploy), "--data", f"release={RELEASES[0]}")) == 0
    assert changes(typed("-y", "--json", str(deploy), "--data", f"release={RELEASES[2]}")) == 1
    before = ctl(supervised, "pid", "all")
    wrong = typed("-y", str(deploy), "--data", "release=2020")
    assert wrong.returncode != 0
    assert "web on @local has no release 2020. There are: 2026-11-15" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert ctl(supervised, "pid", "all") == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "service=wep"], "there is no service wep in test. Did you mean web? There are: web"),
        (["--data", "batch=none"], "batch=none is no number of hosts"),
        (["--data", "batch=0"], "batch=0 is no number of hosts"),
    ],
)
def test_what_cannot_be_meant_is_one_line(typed, supervised, words, said):
    before = ctl(supervised, "pid", "all")
    run = typed("-y", "deploys/restart.py", *words)
    assert run.returncode != 0
    assert said in run.stderr, run.stderr
    assert "Traceback" not in run.stderr
    assert ctl(supervised, "pid", "all") == before


def test_no_request_fails_while_it_is_restarted(typed, supervised):
    """Of two instances one always serves: what one refuses is asked of the other, as a proxy does."""
    over, failed, answered = threading.Event(), [], []

    def ask():
        while not over.is_set():
            for name in supervised.instances:
                try:
                    answered.append(
                        urllib.request.urlopen(f"http://127.0.0.1:{supervised.ports[name]}/", timeout=5).read()
                    )
                    break
                except OSError:
                    continue
            else:
                failed.append(1)

    asking = threading.Thread(target=ask)
    asking.start()
    run = typed("-y", "deploys/restart.py")
    over.set()
    asking.join()
    assert run.returncode == 0, run.stderr
    assert len(answered) > 100
    assert failed == []


def test_one_that_serves_nobody_is_restarted_first(typed, supervised):
    ctl(supervised, "stop", "web_2")
    run = typed("-y", "deploys/restart.py")
    assert run.returncode == 0, run.stderr
    assert run.stderr.index("restarting web_2") < run.stderr.index("restarting web_1")


@pytest.mark.slow
def test_what_has_crashed_can_be_stopped(typed, supervised):
    (supervised.data / "broken").touch()
    ctl(supervised, "restart", "web_1")
    deadline = time.monotonic() + 20
    while "FATAL" not in ctl(supervised, "status", "web_1") and time.monotonic() < deadline:
        time.sleep(0.1)
    run = typed("-y", "deploys/stop.py")
    assert run.returncode == 0, run.stderr
    assert "RUNNING" not in ctl(supervised, "status")


@pytest.mark.slow
def test_a_release_that_crashed_is_not_on_already(typed, supervised):
    activate = ("-y", "ops.operations.services.activate", "service=web", f"release={RELEASES[0]}")
    (supervised.data / "broken").touch()
    assert typed(*activate).returncode == 1
    (supervised.data / "broken").unlink()
    run = typed(*activate)
    assert run.returncode == 0, run.stderr
    assert "already" not in run.stderr
    assert serving(supervised) == [RELEASES[0]] * 2
    assert typed(*activate[:-1], f"release={RELEASES[2]}").returncode == 0


@pytest.mark.slow
def test_two_operators_are_not_at_it_at_once(typed, supervised):
    with ThreadPoolExecutor(2) as pool:
        runs = [run.result() for run in [pool.submit(typed, "-y", "deploys/restart.py") for _ in range(2)]]
    codes = sorted(run.returncode for run in runs)
    assert codes[1] == 1, "they were one after the other: nothing was tried"
    lost = [run.stderr for run in runs if run.returncode]
    assert all(re.search(r"\S+@\S+ since .* is at work on it. Wait until they are done", said) for said in lost)
    assert serving(supervised) == [RELEASES[2]] * 2
    assert typed("-y", "deploys/restart.py").returncode == 0


@pytest.mark.slow
def test_what_is_wrong_with_a_later_service_is_found_before_the_first_is_touched(typed, supervised, tmp_path):
    inventory = tmp_path / "test.py"
    service = inventory.read_text().split("services=[")[1].split("    ],")[0]
    wrong = service.replace('"web"', '"later"').replace('"web_2"', '"no_such"')
    inventory.write_text(inventory.read_text().replace(service, service + wrong))
    before = ctl(supervised, "pid", "all")
    for deploy in ("restart", "start", "stop"):
        run = typed("-y", f"deploys/{deploy}.py")
        assert run.returncode == 1
        assert "supervisord has no program no_such" in run.stderr
    assert ctl(supervised, "pid", "all") == before


def test_what_runs_and_is_not_healthy_does_not_run_already(typed, supervised):
    pid = int(ctl(supervised, "pid", "web_2"))
    os.kill(pid, signal.SIGSTOP)
    try:
        run = typed("-y", "deploys/start.py")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert run.returncode == 1
    assert "web runs, but is not healthy: web_2" in run.stderr


@pytest.mark.slow
def test_ctrl_c_lets_the_instance_in_hand_be_started(typed, supervised, tmp_path):
    """supervisorctl stops, and then starts; the one in hand is held up by a request that takes its time."""
    slow = socket.create_connection(("127.0.0.1", supervised.ports["web_1"]))
    slow.sendall(b"GET / HTTP/1.1\r\n")
    words = [Path(sys.executable).with_name("pyinfra"), "-y", str(tmp_path / "test.py"), "deploys/restart.py"]
    environment = {**os.environ, "PYTHONPATH": str(root()), "HOME": str(supervised.data)}
    with subprocess.Popen(words, cwd=root(), env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, start_new_session=True) as run:  # fmt: skip
        deadline = time.monotonic() + 30
        while "STOPPING" not in ctl(supervised, "status", "web_1"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(timeout=20) == 130
        assert "finished or cleaned up" in run.stderr.read()
    slow.close()
    while "RUNNING" not in ctl(supervised, "status", "web_1"):
        assert time.monotonic() < deadline + 30, ctl(supervised, "status", "web_1")
        time.sleep(0.1)
