"""Putting the worker on a remote runner."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra_command import CommandLine, failed, succeeded
from sshd import Remote

from ops import Environment
from ops.runner import directory

pytestmark = pytest.mark.slow


@pytest.fixture
def bare(pyinfra: CommandLine, hosts: dict[str, Remote], somewhere: Environment) -> Remote:
    """The runner of the inventory, on which nothing is installed."""
    pyinfra.describe(somewhere, runner=[hosts["runner-2"]])
    return hosts["runner-2"]


def test_a_backup_before_the_installation_says_what_to_type(pyinfra: CommandLine, bare: Remote) -> None:
    said = failed(pyinfra.run("deploys/backup.py"))
    assert said.count("Type: pyinfra test deploys/runner.py") == 1


def test_what_a_killed_installation_left_is_begun_anew(installed: Remote) -> None:
    """The fixture killed one and left a file in its ruins before it let the next run come to its end."""
    place = installed.home / directory()
    assert (place / "bin/python").exists()
    assert not list(place.parent.glob("*/left-behind"))


def test_a_second_installation_changes_nothing(pyinfra: CommandLine, installed: Remote, somewhere: Environment) -> None:
    pyinfra.describe(somewhere, runner=[installed])
    said = succeeded(pyinfra.run("deploys/runner.py"))
    assert "The runner has version" in said
    assert "No changes" in said


def test_a_runner_with_an_old_python_is_told_what_to_name(pyinfra: CommandLine, bare: Remote, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\nexec python3 -c "import sys; sys.version_info = (3, 9, 2); $2"\n')
    old.chmod(0o755)
    said = failed(pyinfra.run("deploys/runner.py", "--data", f"python={old}"))
    assert f"{old} on runner-2 is older than 3.11: name a newer one, --data python=python3.12" in said
    assert not (bare.home / ".local").exists()


def test_a_runner_without_that_python_says_so(pyinfra: CommandLine, bare: Remote) -> None:
    said = failed(pyinfra.run("deploys/runner.py", "--data", "python=python3.99"))
    assert "python3.99: not found" in said
    assert not (bare.home / ".local").exists()


def test_a_failing_pip_fails_the_installation_and_is_not_taken_for_one(pyinfra: CommandLine, bare: Remote) -> None:
    configuration = bare.home / ".config/pip/pip.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text("[global]\nno-index = true\nfind-links = /nonexistent\n")
    said = failed(pyinfra.run("deploys/runner.py"))
    assert "No matching distribution found" in said
    assert not (bare.home / directory()).exists()
    assert "Type: pyinfra test deploys/runner.py" in failed(pyinfra.run("deploys/backups.py"))
