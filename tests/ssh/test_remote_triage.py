"""The picture of an environment whose runner and services are elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pyinfra_command import CommandLine, failed, succeeded
from sshd import Remote

from ops import Environment, Nginx


def edge(place: Path) -> Nginx:
    """A service with an error in its log, on hosts that have their files in common."""
    (place / "nginx.conf").write_text("events {}\n")
    (place / "versions" / "releases").mkdir(parents=True)
    now = f"{datetime.now().astimezone():%Y/%m/%d %H:%M:%S}"
    (place / "error.log").write_text(f"{now} [error] 7#7: *1 connect() failed (111: Connection refused)\n" * 3)
    return Nginx(
        name="edge",
        hosts="app",
        configuration=f"{place}/nginx.conf",
        versions=f"{place}/versions",
        pid=f"{place}/nginx.pid",
        error_log=f"{place}/error.log",
    )


def test_errors_are_counted_over_all_hosts_and_the_database_is_seen_from_the_runner(
    pyinfra: CommandLine, environment: Environment, installed: Remote, hosts: dict[str, Remote], tmp_path: Path
) -> None:
    described = environment.model_copy(update={"services": (edge(tmp_path),)})
    pyinfra.describe(described, runner=[installed], app=[hosts["app-1"], hosts["app-2"]])
    lines = succeeded(pyinfra.run("deploys/triage.py")).splitlines()
    assert "    waiting for locks: nobody" in lines
    assert "    errors in the logs since 1h: 6" in lines
    row = next(line.split() for line in lines if "connect() failed" in line)
    assert row[:4] == ["6", "edge", "2", "hosts"]


def test_a_host_that_cannot_be_reached_is_unknown_and_the_others_are_seen(
    pyinfra: CommandLine, environment: Environment, hosts: dict[str, Remote], tmp_path: Path
) -> None:
    described = environment.model_copy(update={"services": (edge(tmp_path),)})
    pyinfra.describe(described, runner=["@local"], app=[hosts["app-1"], replace(hosts["app-2"], port=1)])
    lines = failed(pyinfra.run("deploys/triage.py")).splitlines()
    assert "    errors in the logs since 1h: 3" in lines
    assert "    log of edge on app-2: unknown: app-2 could not be reached. Look at the host" in lines
