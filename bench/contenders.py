"""What is measured: each contender runs once and says how long it took."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.meter import Run, measure
from ops.database import Postgres
from ops.sandbox import shop
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.s3 import S3Server
from ops.secrets import revealed
from ops.storage import S3
from ops.stores import open_store

JOBS = 2


@dataclass
class Field:
    """The two servers, and a database of the wanted size."""

    place: Path
    postgres: PostgresServer
    s3: S3Server
    database: Postgres
    store: S3

    @classmethod
    @contextmanager
    def prepared(cls, place: Path, megabytes: int) -> Iterator[Field]:
        """Start the servers and make the database; stop them afterwards."""
        postgres = PostgresServer(place / "postgres", settings={"max_wal_size": "4GB", "shared_buffers": "512MB"})
        s3 = S3Server(place / "s3")
        try:
            postgres.start()
            s3.start()
            made = shop.create(postgres)
            print(f"making a database of {megabytes} MB …", file=sys.stderr)
            shop.grow(made.url, megabytes)
            with closing(psycopg.connect(made.url, autocommit=True)) as connection:
                connection.execute("VACUUM ANALYZE")
            database, store = made.description(), s3.description(prefix="bench")
            yield cls(place, postgres, s3, database, store)
        finally:
            s3.stop()
            postgres.stop()

    def tool(self, name: str) -> str:
        """A program of the server's own version."""
        return str(self.postgres.bin_dir / name)

    def env(self) -> dict[str, str]:
        """How PostgreSQL's programs find the database."""
        at = self.database.parameters()
        return {
            "PATH": os.environ["PATH"],
            "PGHOST": at["host"],
            "PGPORT": at["port"],
            "PGUSER": at["user"],
            "PGPASSWORD": at["password"],
            "PGDATABASE": at["dbname"],
        }

    def bytes_on_disk(self) -> int:
        """Size of the database."""
        with closing(psycopg.connect(**self.database.parameters())) as connection:  # type: ignore[arg-type]
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])

    def ask(self, verb: str, **arguments: Any) -> Run:
        """Run the worker as pyinfra does."""
        request = {
            "environment": "bench",
            "database_name": self.database.name(),
            "owner": "bench",
            "store": revealed(self.store),
            **arguments,
        }
        return measure([sys.executable, "-m", "ops.worker", verb], stdin=json.dumps(request))


class Contender:
    """A named way of doing it, and the one it is compared with."""

    def __init__(self, run: Callable[[Field], Run], against: str) -> None:
        self.run = run
        self.against = against

    def __call__(self, field: Field) -> Run:
        return self.run(field)


def raw_dump(field: Field) -> Run:
    """The floor: nothing is hashed, counted or kept."""
    return measure(f"{field.tool('pg_dump')} -Fc -Z zstd:1 > /dev/null", env=field.env())


def hashed_dump(field: Field) -> Run:
    """The floor and the hash: read by Python, thrown away."""
    return _stage(field, "hash")


def uploaded_dump(field: Field) -> Run:
    """Hash and upload, without the counts."""
    return _stage(field, "upload")


def _stage(field: Field, stage: str) -> Run:
    request = {"stage": stage, "database": revealed(field.database), "store": revealed(field.store)}
    return measure([sys.executable, "-m", "bench.stages"], stdin=json.dumps(request))


def backup(field: Field) -> Run:
    """All of it: what ``backups.take`` runs."""
    run = field.ask("dump", database=revealed(field.database))
    run.bytes = json.loads(run.output)["answer"]["backup"]["size"]
    return run


def shell_line(field: Field) -> Run:
    """What runbooks say: dump to a file through gzip, then copy it up."""
    file = field.place / "backup.sql.gz"
    upload = f"{sys.executable} -m bench.upload {file}"
    env = {
        **field.env(),
        "AWS_ACCESS_KEY_ID": field.store.access_key.reveal(),
        "AWS_SECRET_ACCESS_KEY": field.store.secret_key.reveal(),
        "AWS_ENDPOINT_URL_S3": field.store.endpoint or "",
        "AWS_REGION": field.store.region,
        "BUCKET": field.store.bucket,
    }
    run = measure(f"{field.tool('pg_dump')} | gzip > {file} && {upload}", env=env)
    run.bytes = file.stat().st_size
    file.unlink()
    return run


def raw_restore(field: Field) -> Run:
    """The floor of a drill: the dump is a local file already, the database exists, nothing is compared."""
    store = open_store(field.store)
    newest = max(entry.key for entry in store.list("bench/") if entry.key.endswith("database.dump"))
    file = field.place / "database.dump"
    with file.open("wb") as sink:
        store.get(newest, sink.write)
    name = f"raw_{uuid.uuid4().hex[:8]}"
    try:
        _execute(field.database.parameters(), "CREATE DATABASE {}", name)
        return measure(
            f"{field.tool('pg_restore')} --exit-on-error --no-owner -j{JOBS} -d {name} {file}", env=field.env()
        )
    finally:
        # As superuser, who alone may end the visit of autovacuum.
        _execute({"conninfo": field.postgres.url()}, "DROP DATABASE {} WITH (FORCE)", name)
        file.unlink()


def drill(field: Field) -> Run:
    """All of it: fetch and hash, restore, compare every row count and the schema, drop."""
    run = field.ask("drill", server=revealed(field.database), jobs=JOBS)
    assert json.loads(run.output)["answer"]["changed"], "the backup was proven already: nothing was measured"
    return run


def _execute(whom: dict[str, str], statement: str, name: str) -> None:
    with closing(psycopg.connect(**whom, autocommit=True)) as connection:  # type: ignore[arg-type]
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


CONTENDERS = {
    "raw pg_dump": Contender(raw_dump, "raw pg_dump"),
    "… read and hashed": Contender(hashed_dump, "raw pg_dump"),
    "… and uploaded": Contender(uploaded_dump, "raw pg_dump"),
    "backup": Contender(backup, "raw pg_dump"),
    "shell line": Contender(shell_line, "raw pg_dump"),
    "raw pg_restore": Contender(raw_restore, "raw pg_restore"),
    "drill": Contender(drill, "raw pg_restore"),
}
