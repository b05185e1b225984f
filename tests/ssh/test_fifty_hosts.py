"""Checks on many SSH hosts at once, by the real command line."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyinfra_command import CommandLine, failed, succeeded
from sshd import KEYGEN, SSHD, Remote, public, remotes

from ops import Directory, Environment, Host, Postgres, Tool
from ops.sandbox import ports

pytestmark = pytest.mark.slow

HOST = Host(hosts="app", disk=1, memory=1, load=1000, clock=60, timeout=60)


@pytest.fixture(scope="module")
def fifty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Remote]]:
    """So many hosts, with one file system between them but for their homes."""
    if not SSHD or not KEYGEN:
        pytest.skip("needs sshd and ssh-keygen: apt install openssh-server")
    with remotes(tmp_path_factory.mktemp("sshd"), [f"app-{n}" for n in range(1, 51)]) as running:
        yield running


def describe(pyinfra: CommandLine, hosts: list[Any], *checks: Any) -> None:
    """An inventory with these checks and no others."""
    nowhere = Postgres(host="127.0.0.1", database="none")
    store = Directory(path=str(pyinfra.directory / "store"))
    environment = Environment(name="test", database=nowhere, store=store, checks=checks)
    pyinfra.describe(environment, runner=["@local"], app=hosts)


def verified(pyinfra: CommandLine, good: bool = True) -> tuple[list[dict[str, Any]], float, str]:
    """The results of a run, how long it took, and what it printed."""
    report = pyinfra.directory / "report.json"
    began = time.monotonic()
    done = pyinfra.run("deploys/verify.py", "--data", f"report={report}")
    seconds = time.monotonic() - began
    said = succeeded(done) if good else failed(done)
    return json.loads(report.read_text())["checks"], seconds, said


def plain(pyinfra: CommandLine) -> float:
    """How long pyinfra itself takes to reach all hosts and to run nothing there."""
    began = time.monotonic()
    succeeded(pyinfra.run("exec", "--", "true"))
    return time.monotonic() - began


def tool(pyinfra: CommandLine, script: str) -> str:
    """A program, where every host has it."""
    file = pyinfra.directory / "tool"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def test_fifty_hosts_tell_how_they_are(pyinfra: CommandLine, fifty: list[Remote]) -> None:
    describe(pyinfra, fifty, HOST)
    without = plain(pyinfra)
    results, seconds, said = verified(pyinfra)
    print(f"plain {without:.1f} s, with the check {seconds:.1f} s")
    assert {(one["where"], one["what"]) for one in results} == {
        (host.name, what) for host in fifty for what in ("disk", "memory", "load", "clock")
    }
    assert {one["outcome"] for one in results} == {"pass"}
    assert "200 pass" in said and re.search(r"host: memory \(50 hosts\)", said), said
    assert seconds < without + 15


def test_they_are_asked_at_the_same_time(pyinfra: CommandLine, fifty: list[Remote]) -> None:
    describe(pyinfra, fifty, Tool(hosts="app", command=tool(pyinfra, "sleep 1; echo 1.2.3"), at_least="1", timeout=60))
    without = plain(pyinfra)
    results, seconds, _ = verified(pyinfra)
    print(f"plain {without:.1f} s, with fifty seconds of checks {seconds:.1f} s")
    assert [one["outcome"] for one in results] == ["pass"] * 50
    assert seconds < without + 15


def test_one_that_hangs_delays_nothing_past_its_time(pyinfra: CommandLine, fifty: list[Remote]) -> None:
    marker = f"60.{time.monotonic_ns()}"
    script = f"case $HOME in */app-7/*) sleep {marker} ;; esac; echo 1.2.3"
    check = Tool(hosts="app", command=tool(pyinfra, script), timeout=3)
    describe(pyinfra, fifty, check, HOST)
    without = plain(pyinfra)
    results, seconds, said = verified(pyinfra, good=False)
    print(f"plain {without:.1f} s, with one that hangs {seconds:.1f} s")
    bad = [one for one in results if one["outcome"] != "pass"]
    assert [(one["where"], one["outcome"], one["value"]) for one in bad] == [
        ("app-7", "unknown", "no answer within 3 s")
    ]
    assert len(results) == 50 + 200
    assert "test is not as it must be: tool (app-7)" in said
    assert seconds < without + 3 + 15
    assert subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True).stdout == "", "it was ended there"


def test_one_that_cannot_be_reached_is_unknown_by_its_name(pyinfra: CommandLine, fifty: list[Remote]) -> None:
    gone = replace(fifty[0], name="app-51", port=ports.free())
    describe(pyinfra, [*fifty, gone], HOST)
    results, _, said = verified(pyinfra, good=False)
    bad = [one for one in results if one["outcome"] != "pass"]
    assert [(one["where"], one["outcome"], one["value"]) for one in bad] == [
        ("app-51", "unknown", "app-51 could not be reached")
    ]
    assert len(results) == 201
    assert "test is not as it must be: host (app-51)" in said


def test_one_host_is_asked_more_at_once_than_its_sshd_allows(pyinfra: CommandLine, fifty: list[Remote]) -> None:
    command = tool(pyinfra, "sleep 0.3; echo 1.2.3")
    checks = [Tool(name=f"tool {n}", hosts="app", command=command, timeout=60) for n in range(40)]
    describe(pyinfra, fifty[:1], *checks)
    results, seconds, _ = verified(pyinfra)
    print(f"forty checks on one host {seconds:.1f} s")
    assert [one["outcome"] for one in results] == ["pass"] * 40


def test_one_whose_sshd_allows_few_is_asked_one_after_the_other(
    pyinfra: CommandLine, fifty: list[Remote], tmp_path: Path
) -> None:
    command = tool(pyinfra, "sleep 0.1; echo 1.2.3")
    with narrow(fifty[0], tmp_path) as host:
        describe(
            pyinfra, [host], *[Tool(name=f"tool {n}", hosts="app", command=command, timeout=60) for n in range(12)]
        )
        results, _, _ = verified(pyinfra)
    assert [one["outcome"] for one in results] == ["pass"] * 12


@contextmanager
def narrow(host: Remote, place: Path) -> Iterator[Remote]:
    """A host by another sshd of its own, which allows two sessions on a connection."""
    there = host.known_hosts.parent / f"{host.name}.d"
    other = replace(host, port=ports.free())
    with host.known_hosts.open("a") as known:
        known.write(f"[{other.address}]:{other.port} {public(there / 'hostkey')}\n")
    configuration = place / "sshd_config"
    text = (there / "sshd_config").read_text()
    configuration.write_text(text.replace(f":{host.port}\n", f":{other.port}\n") + "MaxSessions 2\n")
    log = place / "log"
    with log.open("wb") as writing:
        server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", configuration], stderr=writing)
    try:
        until = time.monotonic() + 20
        while "Server listening" not in log.read_text():
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        yield other
    finally:
        server.kill()
        server.wait()


def test_hosts_are_asked_with_what_the_inventory_says_of_each(pyinfra: CommandLine, fifty: list[Remote]) -> None:
    """Such as ``_sudo``: what their own operations would use."""
    hosts = [(one.name, {**one.data, "_env": {"RELEASE": f"1.{n}"}}) for n, one in enumerate(fifty[:5])]
    describe(pyinfra, hosts, Tool(hosts="app", command=tool(pyinfra, 'echo "$RELEASE"'), timeout=60))
    results, _, _ = verified(pyinfra)
    assert {one["where"]: one["value"] for one in results} == {f"app-{n + 1}": f"1.{n}" for n in range(5)}
