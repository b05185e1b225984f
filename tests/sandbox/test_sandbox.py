from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from ops.errors import ConfigurationError, OpsError
from ops.sandbox import Sandbox

pytestmark = pytest.mark.slow


def processes_below(directory: Path) -> list[int]:
    """Processes whose command line names the directory, as those of our servers do."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in word for word in process.info["cmdline"] or [])
    ]


def test_up_again_keeps_processes_ports_and_data(terminal) -> None:
    strangers = set(Path("/tmp").glob("*.sock"))
    assert terminal.type("up").returncode == 0
    sandbox = terminal.sandbox
    first = (sandbox.database_url, sandbox.endpoint, sandbox.access_key, sandbox.secret_key)
    pids = [server.pid for server in sandbox.servers()]
    with psycopg.connect(sandbox.database_url) as connection:
        connection.execute("UPDATE orders SET note = 'mine' WHERE id = 1")

    assert terminal.type("up").returncode == 0
    assert [server.pid for server in sandbox.servers()] == pids

    assert terminal.type("down").returncode == 0
    assert processes_below(sandbox.directory) == []
    s3 = sandbox.servers()[1]
    ports = {str(port + offset) for port in s3.ports.values() for offset in (0, 10_000)}
    left = set(Path("/tmp").glob("*.sock")) - strangers
    assert [path for path in left if path.stem.split("-")[-1] in ports] == []

    assert terminal.type("up").returncode == 0
    assert (sandbox.database_url, sandbox.endpoint, sandbox.access_key, sandbox.secret_key) == first
    with psycopg.connect(sandbox.database_url) as connection:
        assert connection.execute("SELECT note FROM orders WHERE id = 1").fetchone() == ("mine",)


def test_what_was_killed_is_noticed_and_started_again(terminal) -> None:
    terminal.sandbox.up()
    url = terminal.sandbox.database_url
    for server in terminal.sandbox.servers():
        os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(server.running for server in terminal.sandbox.servers()) and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ConfigurationError, match="the sandbox is down"):
        _ = terminal.sandbox.endpoint
    terminal.sandbox.up()
    assert terminal.sandbox.database_url == url


def test_a_program_that_got_the_same_process_id_is_not_taken_for_ours(terminal) -> None:
    terminal.sandbox.up()
    terminal.sandbox.down()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        for server in terminal.sandbox.servers():
            (server.directory / "pid").write_text(f"{stranger.pid}\n")
        assert terminal.type("status").returncode == 3
        terminal.sandbox.down()
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize(
    ("ending", "seconds"),
    [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.3), (signal.SIGINT, 0.8), (signal.SIGTERM, 1.5)],
)
def test_an_interrupted_up_leaves_nothing_running(terminal, ending: signal.Signals, seconds: float) -> None:
    process = terminal.start("up")
    while not (terminal.sandbox.directory / "state.json").exists():
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(ending)
    _, err = process.communicate()
    if process.returncode == 0:
        pytest.skip("it was up before")
    assert (process.returncode, err) == (1, "Interrupted\n")
    assert processes_below(terminal.sandbox.directory) == []


def test_of_two_ups_at_once_the_second_waits(terminal) -> None:
    first, second = terminal.start("up"), terminal.start("up")
    outputs = [process.communicate() for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert outputs[0] == outputs[1]


def test_its_passwords_are_for_its_owner_only(up) -> None:
    assert (up.sandbox.directory / "state.json").stat().st_mode & 0o777 == 0o600


def test_lost_passwords_are_said_and_the_servers_can_still_be_stopped(up, tmp_path: Path) -> None:
    copy = Sandbox(tmp_path / "sandbox")
    (copy.directory / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"state\.json is gone, and with it the passwords"):
        copy.up()
    copy.down()


def test_a_damaged_state_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"state\.json is damaged"):
        Sandbox(tmp_path).up()


@pytest.mark.parametrize(
    "name",
    ["postgres_port", "database_password", "database_url", "endpoint", "access_key", "secret_key"],
)
def test_while_it_is_down_its_properties_say_what_to_type(tmp_path: Path, name: str) -> None:
    with pytest.raises(OpsError) as failure:
        getattr(Sandbox(tmp_path / "none"), name)
    assert str(failure.value) == "the sandbox is down. Type: python -m ops.sandbox up"


def test_two_sandboxes_are_up_at_once(up, terminal) -> None:
    assert terminal.type("up").returncode == 0
    for sandbox in (up.sandbox, terminal.sandbox):
        with psycopg.connect(sandbox.database_url) as connection:
            assert connection.execute("SELECT count(*) > 1000 FROM orders").fetchone() == (True,)
    terminal.sandbox.down()
    assert up.type("status").returncode == 0
    shutil.rmtree(terminal.sandbox.directory)
