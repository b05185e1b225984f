"""A project on the stand-in of Neon, one for each worker process, and what a test does with it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from standins.neon import NeonApi

from ops.clouds import api, neon
from ops.clouds.neon import Project
from ops.sandbox.postgres import PostgresServer


@pytest.fixture(scope="session")
def standing(postgres: PostgresServer) -> Iterator[NeonApi]:
    """A project whose database has one small table, and a role for it."""
    name, password = f"neon_{secrets.token_hex(4)}", secrets.token_urlsafe(12)
    known = sql.Identifier(name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(known, sql.Literal(password)))
        connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(known))
    with psycopg.connect(postgres.url(name, name, password), autocommit=True) as connection:
        connection.execute("CREATE TABLE orders AS SELECT 'first' AS name")
    with NeonApi(postgres, name, name, password) as project:
        yield project
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(known))
        connection.execute(sql.SQL("DROP ROLE {}").format(known))


@pytest.fixture
def cloud(standing: NeonApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[NeonApi]:
    """The project with the branch main alone; what it was asked was in Neon's contract, and what it answered."""
    monkeypatch.setattr(neon, "PAUSE", 0.005)
    for limits in ("_READS", "_WRITES"):
        monkeypatch.setattr(api, limits, getattr(api, limits).new(backoff_factor=0.001))
    standing.requests.clear()
    yield standing
    for branch in [each for each in standing.branches.values() if not each.default]:
        standing.state.remove(branch)
    standing.branch("main").parent = None
    standing.calm()
    assert not standing.violations


@pytest.fixture
def project(cloud: NeonApi) -> Project:
    """The client."""
    return Project(cloud.described())
