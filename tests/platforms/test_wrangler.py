"""Cloudflare's own client against the same stand-in: content with its answers, and sending what this project sends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Stage, loaded
from standins.cloudflare import ACCOUNT, BASE, RELEASES, TOKEN
from standins.server import Request

ONE, TWO, THREE = RELEASES


@pytest.fixture(scope="module")
def wrangler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, installed for these tests alone."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    place = tmp_path_factory.mktemp("wrangler")
    install = [npm, "install", "--prefix", place, "--no-audit", "--no-fund", "--ignore-scripts", "wrangler@4"]
    installed = subprocess.run(install, capture_output=True, text=True, timeout=240)
    if installed.returncode:
        pytest.skip("needs npm with a registry that has wrangler")
    return place / "node_modules" / ".bin" / "wrangler"


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The script ``web``."""
    with loaded("workers").staged(tmp_path_factory, request) as staged:
        yield staged


def run(wrangler: Path, stage: Stage, home: Path, *words: str) -> str:
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLOUDFLARE_API_BASE_URL": f"{stage.cloud.url}{BASE}",
        "CLOUDFLARE_API_TOKEN": TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
        "CI": "1",
        "WRANGLER_SEND_METRICS": "false",
    }
    command = [wrangler, *words, "--name", "web"]
    ran = subprocess.run(
        command, env=given, cwd=home, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def sent(stage: Stage, path: str, method: str) -> Request:
    (found,) = [each for each in stage.cloud.requests if each.path.endswith(path) and each.method == method]
    stage.cloud.requests.clear()
    return found


def test_both_ask_for_the_deployments_alike_and_read_them_alike(wrangler: Path, stage: Stage, tmp_path: Path) -> None:
    listed = json.loads(run(wrangler, stage, tmp_path, "deployments", "list", "--json"))
    theirs = sent(stage, "/deployments", "GET")
    status = stage.platform.status()
    ours = sent(stage, "/deployments", "GET")
    assert (theirs.path, theirs.query) == (ours.path, ours.query)
    assert theirs.headers["authorization"] == ours.headers["authorization"]
    newest = max(listed, key=lambda deployment: deployment["created_on"])
    assert newest["versions"] == [{"version_id": status.release, "percentage": 100}]


def test_both_roll_back_alike(wrangler: Path, stage: Stage, tmp_path: Path) -> None:
    run(wrangler, stage, tmp_path, "rollback", TWO, "--message", "Rollback", "-y")
    assert stage.platform.status().release == TWO
    theirs = sent(stage, "/deployments", "POST")
    stage.platform.activate(THREE)
    stage.platform.activate(ONE)
    stage.cloud.requests.clear()
    stage.platform.activate(TWO)
    ours = sent(stage, "/deployments", "POST")
    assert (ours.path, ours.query, ours.body) == (theirs.path, theirs.query, theirs.body)
    assert stage.serving() == [TWO]


def test_where_wrangler_forces_this_project_does_not(wrangler: Path, stage: Stage, tmp_path: Path) -> None:
    stage.cloud.changed_secrets[TWO] = "DATABASE_URL"
    run(wrangler, stage, tmp_path, "rollback", TWO, "--message", "Rollback", "-y")
    assert [each.query for each in stage.cloud.requests if each.method == "POST"] == [{}, {"force": "true"}]
