"""Databases to back up."""

from __future__ import annotations

import os

import psycopg

from ops import Postgres
from ops.sandbox.postgres import PostgresServer


def described(server: PostgresServer, database: str, user: str, password: str) -> Postgres:
    """A database on a server of ours."""
    return Postgres(host="127.0.0.1", port=server.port, database=database, user=user, password=password, deadline=20)


def make_large(server: PostgresServer, name: str, megabytes: int) -> None:
    """A database whose dump is this large, because nothing in it can be compressed."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(server.url(name)) as connection:
        connection.execute("CREATE TABLE few AS SELECT i AS id FROM generate_series(1, 1000) AS i")
        for table in range(4):
            connection.execute(f"CREATE TABLE noise_{table} (id int PRIMARY KEY, content bytea)")
            with connection.cursor().copy(f"COPY noise_{table} FROM STDIN") as copy:
                for id in range(megabytes * 64):
                    copy.write_row((id, os.urandom(4096)))
