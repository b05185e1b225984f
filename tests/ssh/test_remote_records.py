"""Records and the environment's lock in a directory that only the remote runner has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from described import described
from pyinfra_command import CommandLine, failed, succeeded
from sshd import Remote

from ops import S3, Directory, Environment, record
from ops.sandbox.shop import Shop
from ops.stores import open_store

pytestmark = pytest.mark.slow


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
    assert f"{store.path}onrunner-1" in "".join(shown.split()), "over as many lines as it takes"


def test_the_environment_is_kept_by_hand_and_given_back(pyinfra: CommandLine, store: Directory) -> None:
    take = ("deploys/lock.py", "--data", "take=2h", "--data", "reason=a move")
    assert "keeps it for" in succeeded(pyinfra.run(*take))
    reservation = Path(store.path) / "test" / "reservation"
    reservation.write_text(json.dumps({**json.loads(reservation.read_text()), "owner": "far@away"}))
    assert "test is reserved: far@away keeps it for" in failed(pyinfra.run(*take))
    succeeded(pyinfra.run("deploys/lock.py", "--data", "break=yes"))
    succeeded(pyinfra.run(*take))
    assert [run.result for run in record.runs(open_store(store), "test", 10)] == ["done", "done", "failed", "done"]


DEPLOY = """
from pyinfra import host
from pyinfra.api.operation import operation
from ops import recorder
from ops.errors import ServiceError
from ops.steps import Step, guarded
fails = host.data.get("fails")

@operation()
@guarded
def change():
    def do():
        recorder.released("web", "42")
        if host.name == fails:
            raise ServiceError("it did not hold")
    yield Step("Change it", do)

change(name="Change", _if=lambda: "app" in host.groups)
"""


def test_a_release_is_written_down_once_it_serves_on_every_host(
    pyinfra: CommandLine, environment: Environment, store_s3: S3, hosts: dict[str, Remote], tmp_path: Path
) -> None:
    pyinfra.describe(environment, runner=["@local"], app=[hosts["app-1"], hosts["app-2"]])
    deploy = tmp_path / "change.py"
    deploy.write_text(DEPLOY)
    # A run goes on where nothing failed, and its exit code says that something did.
    assert "it did not hold" in failed(pyinfra.run(str(deploy), "--data", "fails=app-2"))
    opened = open_store(store_s3)
    assert record.releases(opened, "test", "web") == []
    (run,) = record.runs(opened, "test", 10)
    assert run.result == "failed"
    assert {step.host: step.outcome for step in run.steps} == {"app-1": "done", "app-2": "failed"}
    succeeded(pyinfra.run(str(deploy)))
    assert [one.release for one in record.releases(opened, "test", "web")] == ["42"]


def test_a_runner_that_is_left_out_is_connected_to_for_its_store(
    pyinfra: CommandLine, shop: Shop, installed: Remote, hosts: dict[str, Remote], tmp_path: Path
) -> None:
    store = Directory(path=str(tmp_path / "backups"))
    described_here = Environment(name="test", database=described(shop), store=store)
    pyinfra.describe(described_here, runner=[installed], app=[hosts["app-1"]])
    deploy = tmp_path / "change.py"
    deploy.write_text(DEPLOY)
    succeeded(pyinfra.run("--limit", "app", str(deploy)))
    (run,) = record.runs(open_store(store), "test", 10)
    assert (run.result, [step.host for step in run.steps]) == ("done", ["app-1"])
    assert (Path(store.path) / "test" / "lock").exists()
