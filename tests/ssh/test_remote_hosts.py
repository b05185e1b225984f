"""Which host acts, and what is said of one that cannot be reached."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from pyinfra_command import CommandLine, failed, succeeded
from sshd import Remote, make_key

from ops import Environment

pytestmark = pytest.mark.slow


def test_only_the_first_runner_acts(
    pyinfra: CommandLine, environment: Environment, installed: Remote, hosts: dict[str, Remote]
) -> None:
    pyinfra.describe(environment, runner=[installed, hosts["runner-2"]], app=[hosts["app-1"], hosts["app-2"]])
    said = succeeded(pyinfra.run("deploys/backup.py"))
    assert said.count("Take a backup of test/") == 1
    assert "[runner-1] " in next(line for line in said.splitlines() if "Take a backup of test/" in line)


def test_a_limit_that_leaves_the_runner_out_is_an_error(
    pyinfra: CommandLine, environment: Environment, installed: Remote, hosts: dict[str, Remote]
) -> None:
    pyinfra.describe(environment, runner=[installed, hosts["runner-2"]], app=[hosts["app-1"]])
    for limit in ("app", "runner-2"):
        said = failed(pyinfra.run("--limit", limit, "deploys/backup.py"))
        assert "the runner runner-1 is left out, so nothing can be done. Add --limit runner-1" in said


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nobody listens", "Could not connect"),
        ("wrong host key", "Host key for"),
        ("unknown host key", "found in known_hosts"),
        ("wrong client key", "Authentication error"),
    ],
)
def test_a_runner_that_cannot_be_reached_fails_in_good_order(
    pyinfra: CommandLine, somewhere: Environment, hosts: dict[str, Remote], tmp_path: Path, fault: str, words: str
) -> None:
    good = hosts["runner-2"]
    other = make_key(tmp_path / "other")
    known = tmp_path / "known_hosts"
    known.touch()
    faulty = {
        "nobody listens": replace(good, port=1),
        "wrong host key": replace(good, known_hosts=known),
        "unknown host key": replace(good, known_hosts=known),
        "wrong client key": replace(good, key=other),
    }[fault]
    if fault == "wrong host key":
        known.write_text(f"[{good.address}]:{good.port} {other.with_suffix('.pub').read_text()}")
    pyinfra.describe(somewhere, runner=[faulty])
    began = time.monotonic()
    said = failed(pyinfra.run("deploys/backup.py"))
    assert words in said
    assert time.monotonic() - began < 20
