from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import psycopg
import pytest
from listening import addresses
from servers import FAST, running

from ops.errors import ToolError
from ops.sandbox.postgres import PostgresServer


def test_it_listens_on_loopback_only_and_wants_a_password(postgres: PostgresServer) -> None:
    assert addresses(postgres) == {("127.0.0.1", postgres.port)}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url(password="wrong"))


def test_what_is_not_said_is_safe(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    with running(server), psycopg.connect(server.url()) as connection:
        names = ["fsync", "data_checksums", "server_encoding", "unix_socket_directories", "password_encryption"]
        values = [connection.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in names]
        assert values == ["on", "on", "UTF8", "", "scram-sha-256"]


def test_after_a_restart_the_data_is_there_and_the_port_the_same(tmp_path: Path) -> None:
    first = PostgresServer(tmp_path / "postgres", settings=FAST)
    first.start()
    with psycopg.connect(first.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'يبقى' AS word")
    first.stop()
    assert not first.running
    assert first.pid is None

    second = PostgresServer(tmp_path / "postgres", first.port, first.password, FAST)
    with running(second), psycopg.connect(second.url()) as connection:
        assert second.port == first.port
        assert connection.execute("SELECT word FROM kept").fetchone() == ("يبقى",)


def test_another_port_is_taken_when_the_wanted_one_is_not_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        server = PostgresServer(tmp_path / "postgres", taken, settings=FAST)
        with running(server):
            assert server.port != taken
            psycopg.connect(server.url()).close()


def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres", settings={**FAST, "shared_buffers": "1"})
    with pytest.raises(ToolError, match=r"PostgreSQL did not start: .*shared_buffers") as failure:
        server.start()
    assert str(server.log) in failure.value.hint
    assert server.password not in str(failure.value)
    assert not server.running


def test_a_wrong_password_for_data_that_exists_is_said_at_once(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres", settings=FAST)
    with running(server):
        forgetful = PostgresServer(tmp_path / "postgres", server.port)
        with pytest.raises(ToolError, match="another superuser password"):
            forgetful.start()


def test_an_interrupted_initdb_is_begun_afresh(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres", settings=FAST)
    (tmp_path / "postgres" / "data.partial").mkdir(parents=True)
    (tmp_path / "postgres" / "data.partial" / "PG_VERSION").write_text("17\n")
    with running(server):
        psycopg.connect(server.url()).close()


def test_a_killed_one_whose_zombie_is_still_there_is_started_again(tmp_path: Path) -> None:
    """By somebody who does not know the process, but finds the directory."""
    killed = PostgresServer(tmp_path / "server", settings=FAST)
    killed.start()
    again = PostgresServer(tmp_path / "server", killed.port, killed.password, FAST)
    os.kill(killed.pid, signal.SIGKILL)
    while killed.running:
        time.sleep(0.001)
    try:
        again.start()
        assert again.running
    finally:
        again.stop()
