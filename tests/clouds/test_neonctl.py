"""Neon's own client on the same stand-in: what one of the two makes, the other sees."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from standins.neon import NeonApi
from standins.neon_contract import installed

from ops.clouds.neon import Project
from ops.clouds.neon_resources import Branch


@pytest.fixture
def neonctl(cloud: NeonApi, tmp_path: Path) -> Callable[..., Any]:
    """The program on the project; what it prints, parsed."""
    modules = installed("neonctl@5")
    if modules is None:
        pytest.skip("needs npm, and its package neonctl")

    def run(*words: str) -> Any:
        command = [
            modules / ".bin" / "neonctl", "branches", *words, "--project-id", cloud.project,
            "--api-host", cloud.api, "--output", "json", "--no-analytics", "--config-dir", tmp_path,
        ]  # fmt: skip
        given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CI": "1", "NEON_API_KEY": cloud.api_key}
        ran = subprocess.run(
            command, env=given, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout or "null")

    return run


def seen(told: dict[str, Any]) -> tuple[Any, ...]:
    """A branch as Neon's client prints it."""
    return told["id"], told["name"], told["current_state"], told["created_at"], told.get("expires_at")


def ours(branch: Branch) -> tuple[Any, ...]:
    """A branch as our client has it."""
    return branch.id, branch.name, branch.state, _text(branch.created), branch.expires and _text(branch.expires)


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.slow
def test_both_clients_see_what_the_other_has_made(
    cloud: NeonApi, project: Project, neonctl: Callable[..., Any]
) -> None:
    main, expires = project.require("main"), cloud.now() + timedelta(days=1)
    project.make("by-us", main, expires=expires)
    neonctl("create", "--name", "by-neon", "--parent", "main", "--expires-at", _text(expires))
    assert {seen(each) for each in neonctl("list")} == {ours(each) for each in project.branches()}
    assert {each.name for each in project.branches()} == {"main", "by-us", "by-neon"}
    theirs = project.require("by-neon")
    assert theirs.parent == main.id and theirs.expires == expires.replace(microsecond=0)
    assert [each.branch for each in project.endpoints(theirs)] == [theirs.id]
    assert seen(neonctl("get", "by-us")) == ours(project.require("by-us"))

    with psycopg.connect(cloud.connection_url("by-neon"), autocommit=True) as connection:
        connection.execute("INSERT INTO orders VALUES ('wrong')")
    neonctl("restore", "by-neon", "^parent", "--preserve-under-name", "kept")
    with psycopg.connect(cloud.connection_url("by-neon"), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM orders WHERE name = 'wrong'").fetchone() == (0,)
    assert project.require("kept").parent == main.id

    neonctl("delete", "by-us")
    project.delete(project.require("by-neon"))
    assert {each["name"] for each in neonctl("list")} == {each.name for each in project.branches()} == {"main", "kept"}
