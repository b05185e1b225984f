"""The scratch database goes whatever happens, and nobody else's connection is ended for it."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from psycopg import sql

from ops.errors import DatabaseError
from ops.worker import restore


@pytest.fixture
def scratch(worker):
    name = f"{worker.shop.name}_scratch"
    with psycopg.connect(worker.shop.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return name


def exists(worker, name):
    with psycopg.connect(worker.shop.url) as connection:
        return connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount == 1


def test_our_own_connections_are_ended(worker, scratch):
    with psycopg.connect(worker.shop.server.url(scratch, worker.shop.user, worker.shop.password)):
        restore.drop(worker.shop.description(), scratch)
    assert not exists(worker, scratch)


def test_somebody_elses_short_visit_is_waited_for_as_autovacuums_is(worker, scratch, postgres):
    visitor = psycopg.connect(postgres.url(scratch))
    threading.Timer(2, visitor.close).start()
    restore.drop(worker.shop.description(), scratch)
    assert not exists(worker, scratch)


def test_who_stays_is_named_and_left_alone(worker, scratch, postgres, monkeypatch):
    monkeypatch.setattr(restore, "DROP_TRIES", 1)
    with psycopg.connect(postgres.url(scratch)) as visitor:
        with pytest.raises(DatabaseError, match=r"could not be dropped: it is used by postgres.*DROP DATABASE"):
            restore.drop(worker.shop.description(), scratch)
        assert visitor.execute("SELECT 1").fetchone() == (1,)


def test_a_database_that_is_gone_already_is_no_error(worker):
    began = time.monotonic()
    restore.drop(worker.shop.description(), "not_there_at_all")
    assert time.monotonic() - began < 5
