"""What of a dump gets into another environment, and what never does."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from ops.database import Postgres
from ops.sandbox.postgres import PostgresServer
from ops.secrets import Secret
from ops.worker.pulse import Pulse
from ops.worker.sections import _LEFT_OUT, restore_section

MAPPING = """
    CREATE EXTENSION postgres_fdw;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'production.internal');
    CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user 'app', password 'of the real one');
    CREATE FOREIGN TABLE elsewhere (id int) SERVER far;
    SELECT lo_from_bytea(0, 'a scan of a passport');
    CREATE TABLE "übung" (id int);
"""


def test_passwords_of_foreign_servers_and_large_objects_stay_behind(postgres: PostgresServer):
    names = [f"far_{secrets.token_hex(3)}", f"near_{secrets.token_hex(3)}"]
    described = Postgres(
        host="127.0.0.1",
        port=postgres.port,
        database="postgres",
        user=postgres.user,
        password=Secret("the superuser's password", lambda: postgres.password),
    )
    with closing(psycopg.connect(postgres.url(), autocommit=True)) as server:
        for name in names:
            make = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING LATIN1 LOCALE_PROVIDER libc LOCALE 'C'")
            server.execute(make.format(sql.Identifier(name)))
        try:
            with closing(psycopg.connect(postgres.url(names[0]), autocommit=True)) as connection:
                connection.execute(MAPPING)
            with tempfile.TemporaryFile() as archive, Pulse(60, described, names[1]) as pulse:
                dump = [postgres.bin_dir / "pg_dump", "-Fc", postgres.url(names[0])]
                subprocess.run(dump, stdout=archive, check=True)
                for section in ("pre-data", "data", "post-data"):
                    restore_section(section, archive, 1, described, names[1], 2, pulse)
            with closing(psycopg.connect(postgres.url(names[1]))) as connection:
                assert connection.execute("SELECT count(*) FROM pg_user_mappings").fetchone() == (0,)
                assert connection.execute("SELECT to_regclass('übung') IS NOT NULL").fetchone() == (True,)
                assert connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)
                with pytest.raises(psycopg.errors.UndefinedObject, match="user mapping not found"):
                    connection.execute("SELECT FROM elsewhere")
        finally:
            for name in names:
                server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_statistics_of_a_newer_pg_dump_stay_behind():
    assert _LEFT_OUT.match(b"4031; 0 0 STATISTICS DATA public customers shop\n")
    assert not _LEFT_OUT.match(b"4031; 3381 16999 STATISTICS public customers_statistics shop\n")
    assert not _LEFT_OUT.match(b"4031; 0 16399 TABLE DATA public BLOBS shop\n")
