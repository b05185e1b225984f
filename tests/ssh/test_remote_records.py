"""Records and the environment's lock in a directory that only the remote runner has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from described import described
from pyinfra_command import CommandLine, failed, succeeded
from sshd import Remote

from ops import Directory, Environment, record
from ops.sandbox.shop import Shop
from ops.stores import open_store


@pytest.fixture
def store(pyinfra: CommandLine, shop: Shop, installed: Remote, tmp_path: Path) -> Directory:
    """A directory, which this machine and the runner happen to share, so that a test can look into it."""
    store = Directory(path=str(tmp_path / "backups"))
    pyinfra.describe(Environment(name="test", database=described(shop), store=store), runner=[installed])
    return store


def test_a_backup_is_on_record_and_in_the_history(pyinfra: CommandLine, store: Directory) -> None:
    succeeded(pyinfra.run("deploys/backup.py", "--data", "reason=before the move"))
    (run,) = record.runs(open_store(store), "test", 10)
    assert (run.result, run.reason) == ("done", "before the move")
    assert list((Path(store.path) / "test").rglob(f"{run.facts['backup']}/manifest.json"))
    shown = succeeded(pyinfra.run("deploys/history.py"))
    assert "before the move" in shown
    assert f"{store.path} on runner-1" in shown


def test_the_environment_is_kept_by_hand_and_given_back(pyinfra: CommandLine, store: Directory) -> None:
    take = ("deploys/lock.py", "--data", "take=2h", "--data", "reason=a move")
    assert "keeps it for" in succeeded(pyinfra.run(*take))
    reservation = Path(store.path) / "test" / "reservation"
    reservation.write_text(json.dumps({**json.loads(reservation.read_text()), "owner": "far@away"}))
    assert "test is reserved: far@away keeps it for" in failed(pyinfra.run(*take))
    succeeded(pyinfra.run("deploys/lock.py", "--data", "break=yes"))
    succeeded(pyinfra.run(*take))
    assert [run.result for run in record.runs(open_store(store), "test", 10)] == ["done"] * 3
