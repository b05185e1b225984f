"""Versions of tools on a host, and names in its settings."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from disguise import Disguise, Heard, shell, with_programs
from stage import loaded

from ops.checks import Outcome, Result, Settings, Tool
from ops.errors import ConfigurationError, HostUnreachable
from ops.probes import ask
from ops.probes.bounded import Bounded

# As they print it themselves.
PRINTED = [
    ("node", "echo v18.19.0", "18.19.0"),
    ("psql", "echo 'psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'", "15.18"),
    ("psql", "echo 'psql (PostgreSQL) 18beta2'", "18"),
    ("redis-server", "echo 'Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64'", "7.0.15"),
    ("nginx", '[ "$1" = -v ] && echo "nginx version: nginx/1.22.1" >&2', "1.22.1"),
    ("java", '[ "$1" = -version ] && echo \'openjdk version "17.0.15" 2025-04-15\' >&2', "17.0.15"),
    ("go", "[ \"$1\" = version ] && echo 'go version go1.21.5 linux/amd64'", "1.21.5"),
    ("ssh", "[ \"$1\" = -V ] && echo 'OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17 1 Jul 2025' >&2", "9.2"),
    ("docker", "echo 'Docker version 20.10.24+dfsg1, build 297e128'", "20.10.24"),
    ("less", "echo 'less 590 (GNU regular expressions)'", "590"),
    ("tool", "echo 'warning 9.9' >&2; echo 1.2.3", "1.2.3"),
]


def asked(at: Disguise, **fields: str | None) -> Result:
    """The one result of a check."""
    (one,) = ask(Tool(hosts="app", **fields), at)
    return one


@pytest.mark.parametrize(("name", "script", "version"), PRINTED, ids=[f"{name} {v}" for name, _, v in PRINTED])
def test_a_version_is_found_in_what_programs_print(name: str, script: str, version: str, tmp_path: Path) -> None:
    at = with_programs(tmp_path, **{name.replace("-", "_"): script})
    assert asked(at, command=name) == Result(Outcome.PASS, version, "installed")
    assert asked(at, command=f"{tmp_path}/{name}", at_least=version) == Result(Outcome.PASS, version, f"≥ {version}")


@pytest.mark.parametrize("kind", ["debian", "busybox"])
@pytest.mark.parametrize(
    ("limits", "outcome", "value"),
    [
        ({"at_least": "18"}, Outcome.PASS, "18.19.0"),
        ({"at_least": "18.19", "below": "19"}, Outcome.PASS, "18.19.0"),
        ({"at_least": "18.20"}, Outcome.FAIL, "18.19.0 is too old"),
        ({"at_least": "18.2"}, Outcome.PASS, "18.19.0"),
        ({"at_least": "20"}, Outcome.FAIL, "18.19.0 is too old"),
        ({"below": "18.19"}, Outcome.FAIL, "18.19.0 is too new"),
        ({"below": "18"}, Outcome.FAIL, "18.19.0 is too new"),
    ],
)
def test_versions_are_compared_as_people_do(
    limits: dict[str, str], outcome: Outcome, value: str, kind: str, tmp_path: Path
) -> None:
    at = with_programs(tmp_path / "bin", node="echo v18.19.0")
    if kind == "busybox":
        at.before = f"{shell(kind, tmp_path).before}\n{at.before}"
    one = asked(at, command="node", **limits)
    assert (one.outcome, one.value) == (outcome, value)
    assert bool(one.hint) == (outcome is Outcome.FAIL)


@pytest.mark.parametrize("kind", ["debian", "busybox"])
def test_a_tool_that_is_not_installed_fails(kind: str, tmp_path: Path) -> None:
    at = shell(kind, tmp_path)
    for command in ("no-such-tool", f"{tmp_path}/no-such-tool"):
        one = asked(at, command=command, at_least="1")
        assert one.outcome is Outcome.FAIL
        assert one.value == "no-such-tool is not installed"
        assert "command=…" in one.hint


@pytest.mark.parametrize(
    "script",
    ["exit 0", "echo dev", "echo 'Error 2.5: unknown option' >&2; exit 2", "exit 66", "exit 127", "kill -9 $$"],
)
def test_a_tool_that_tells_no_version_is_unknown(script: str, tmp_path: Path) -> None:
    one = asked(with_programs(tmp_path, tool=script), command="tool", at_least="1")
    assert one.outcome is Outcome.UNKNOWN
    assert one.value.startswith("tool tells no version")
    assert "tool --version" in one.hint


def test_one_that_may_not_be_run_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("1.2.3")
    assert asked(Disguise(), command=f"{tmp_path}/tool").outcome.bad


def test_a_tool_that_hangs_is_ended_where_it_hangs(tmp_path: Path) -> None:
    marker = f"31.{time.monotonic_ns()}"
    for script in (f"sleep {marker}", f"trap '' TERM; while :; do sleep {marker}; done"):
        at = with_programs(tmp_path, tool=script)
        began = time.monotonic()
        with pytest.raises(HostUnreachable, match="no answer within 1 s"):
            ask(Tool(hosts="app", command="tool", timeout=1), Bounded(at, 1))
        assert time.monotonic() - began < 10
        assert subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True).stdout == ""


def test_one_that_ends_by_itself_as_if_it_had_hung_did_not(tmp_path: Path) -> None:
    for script in ("exit 124", "kill -9 $$"):
        at = Bounded(with_programs(tmp_path, tool=script), 60)
        assert asked(at, command="tool").value.startswith("tool tells no version")


def test_the_python_of_this_machine_is_the_one_that_runs() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    assert asked(Disguise(), command=sys.executable) == Result(Outcome.PASS, version, "installed")


@pytest.mark.slow
def test_pm2_starts_no_daemon_by_being_asked(tmp_path: Path) -> None:
    program = loaded("pm2").installed()
    if program is None:
        pytest.skip("needs npm")
    at = Disguise(f'HOME={tmp_path} PM2_HOME={tmp_path}/pm2 PATH={program.parent}:"$PATH"; export HOME PM2_HOME PATH')
    for command in ("pm2", str(program)):
        assert asked(at, command=command, at_least="2").outcome is Outcome.PASS
        assert asked(at, command=command, below="2").outcome is Outcome.FAIL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["v18", "18.x", "", "^18"])
def test_a_version_that_is_none_is_refused_in_the_inventory(version: str) -> None:
    with pytest.raises(ConfigurationError, match="it must be a version such as 18 or"):
        Tool(hosts="app", command="node", at_least=version)


FILE = "API_URL=https://user:tok3n@example.com\nexport TOKEN='s3cret'\nEMPTY=\n#HIDDEN=1\n"


def settings(at: Disguise, file: Path | str, *names: str) -> Result:
    """The one result of a check."""
    (one,) = ask(Settings(hosts="app", file=str(file), names=names), at)
    return one


@pytest.mark.parametrize("kind", ["debian", "busybox"])
def test_settings_are_looked_up_by_their_names_alone(kind: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text(FILE)
    heard = Heard(shell(kind, tmp_path).before)
    assert settings(heard, tmp_path / "env", "API_URL", "TOKEN") == Result(
        Outcome.PASS, "all are set", "set: API_URL, TOKEN"
    )
    one = settings(heard, tmp_path / "env", "TOKEN", "EMPTY", "HIDDEN", "OTHER")
    assert one.outcome is Outcome.FAIL
    assert one.value == "not set: EMPTY, HIDDEN, OTHER"
    assert one.hint == f"Write them into {tmp_path}/env"
    assert "API_URL" in heard.said and "s3cret" not in heard.said and "tok3n" not in heard.said


@pytest.mark.parametrize("kind", ["debian", "busybox"])
def test_a_file_of_settings_that_is_missing_fails(kind: str, tmp_path: Path) -> None:
    one = settings(shell(kind, tmp_path), tmp_path / "env", "TOKEN")
    assert one.outcome is Outcome.FAIL
    assert one.value == f"there is no {tmp_path}/env"


@pytest.mark.parametrize("kind", ["debian", "busybox"])
def test_a_file_of_settings_that_cannot_be_read_is_unknown(kind: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")  # root may read whatever there is
    one = settings(shell(kind, tmp_path), tmp_path / "loop", "TOKEN")
    assert one.outcome is Outcome.UNKNOWN
    assert one.value.startswith(f"{tmp_path}/loop could not be read: ")


@pytest.mark.parametrize("name", ["A=1", "A B", "1A", ""])
def test_a_name_that_is_none_is_refused_in_the_inventory(name: str) -> None:
    with pytest.raises(ConfigurationError, match="Settings"):
        Settings(hosts="app", file="/srv/env", names=(name,))
