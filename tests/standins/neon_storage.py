"""The real databases under the branches of the stand-in: copied, renamed, remembered and dropped."""

from __future__ import annotations

import os
import secrets
import subprocess

import psycopg
from psycopg import sql

from ops.sandbox.postgres import PostgresServer


class Storage:
    """Databases beside the first one, on a real server.

    Args:
        server: a running server.
        first: name of the database that there is already.
        role: who owns the copies.
    """

    def __init__(self, server: PostgresServer, first: str, role: str) -> None:
        self._server, self._first, self._role = server, first, role
        self._made: set[str] = set()

    def name(self) -> str:
        """A new one, which begins as the first database's does."""
        return f"{self._first[:40]}_br_{secrets.token_hex(4)}"

    def copy(self, source: str, target: str) -> None:
        """Copy a database; who is connected to it stays so, as with Neon."""
        self._made.add(target)
        if self._ask("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [source])[0]:
            self._copy_rows(source, target)  # a database with sessions cannot be a template
        else:
            names = map(sql.Identifier, (target, source, self._role))
            self._do(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY").format(*names))

    def rename(self, old: str, new: str) -> None:
        """Rename a database, whose sessions end."""
        self._made = (self._made - {old}) | {new}
        self._end(old)
        self._do(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*map(sql.Identifier, (old, new))))

    def drop(self, name: str) -> None:
        """Drop a database, whose sessions end."""
        self._made.discard(name)
        self._do(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def drop_all(self) -> None:
        """Drop what was made."""
        for name in self._made - {self._first}:
            self.drop(name)

    def end(self, ports: list[int]) -> None:
        """End the sessions that come from these ports."""
        self._ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = ANY(%s)", [ports])

    def lsn(self) -> str:
        """Where the server's log is now."""
        return str(self._ask("SELECT pg_current_wal_lsn()", [])[0])

    def before(self, one: str, other: str) -> bool:
        """Whether an LSN is not after another."""
        return bool(self._ask("SELECT %s::pg_lsn <= %s::pg_lsn", [one, other])[0])

    def _end(self, name: str) -> None:
        self._ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s", [name])

    def _copy_rows(self, source: str, target: str) -> None:
        self._do(sql.SQL("CREATE DATABASE {} OWNER {}").format(*map(sql.Identifier, (target, self._role))))
        password = {**os.environ, "PGPASSWORD": self._server.password}
        place = ["-h", "127.0.0.1", "-p", str(self._server.port), "-U", self._server.user]
        dump = [self._server.bin_dir / "pg_dump", "--format=custom", "--compress=0", *place, source]
        restore = [self._server.bin_dir / "pg_restore", "--exit-on-error", *place, "--dbname", target]
        with subprocess.Popen(dump, stdout=subprocess.PIPE, env=password) as dumped:
            subprocess.run(restore, stdin=dumped.stdout, env=password, check=True)
        assert dumped.returncode == 0

    def _ask(self, query: str, values: list[object]) -> tuple[object, ...]:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            return connection.execute(query, values).fetchone() or ()

    def _do(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            connection.execute(statement)
