"""The three deploys on a remote runner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from described import described
from pyinfra_command import CommandLine, succeeded
from sshd import Remote

from ops import Directory, Environment
from ops.sandbox.shop import Shop
from ops.stores import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def runner(pyinfra: CommandLine, environment: Environment, installed: Remote) -> Remote:
    """The runner of the inventory."""
    pyinfra.describe(environment, runner=[installed])
    return installed


def test_a_backup_is_taken_proven_and_shown_and_then_there_is_nothing_to_do(
    pyinfra: CommandLine, environment: Environment, runner: Remote
) -> None:
    assert "Take a backup of test/" in succeeded(pyinfra.run("deploys/backup.py"))
    again = pyinfra.run("--json", "deploys/backup.py")
    succeeded(again)
    assert "No backup needed" in again.stderr
    assert changes(again.stdout) == 0
    proved = pyinfra.run("--json", "deploys/drill.py")
    assert "the schema are as the manifest says" in succeeded(proved)
    assert changes(proved.stdout) == 1
    again = pyinfra.run("--json", "deploys/drill.py")
    assert "No drill needed" in succeeded(again)
    assert changes(again.stdout) == 0
    shown = pyinfra.run("--json", "deploys/backups.py")
    assert " proven " in succeeded(shown)
    assert changes(shown.stdout) == 0


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    pyinfra: CommandLine, environment: Environment, runner: Remote
) -> None:
    planned = pyinfra.run("--dry", "--json", "deploys/backup.py", yes=False)
    assert "Would: take a backup of test/" in succeeded(planned)
    assert "(there is none yet)" in planned.stderr
    assert json.loads(planned.stdout)["plan"][0]["name"] == "Take a backup"
    assert list(open_store(environment.store).list("")) == []


def test_a_directory_as_store_lies_on_the_runner(
    pyinfra: CommandLine, shop: Shop, installed: Remote, tmp_path: Path
) -> None:
    store = Directory(path=str(tmp_path / "backups"))
    pyinfra.describe(Environment(name="test", database=described(shop), store=store), runner=[installed])
    succeeded(pyinfra.run("deploys/backup.py"))
    assert len(list((tmp_path / "backups").rglob("manifest.json"))) == 1


def changes(printed: str) -> int:
    """How many operations changed something, by the one JSON document that standard output is."""
    totals = json.loads(printed)["results"]["totals"]
    assert totals["error"] == 0
    return int(totals["success"])
