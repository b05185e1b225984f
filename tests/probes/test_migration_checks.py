"""Whether the database is where the code expects it, asked of the worker as pyinfra asks it; and nothing but asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyinfra_command import CommandLine, failed, succeeded
from readers import Reader, reader

from ops import Alembic, Directory, Environment, runner
from ops.checks import MigrationsCurrent, Outcome, Result
from ops.engines import Target, open_engine
from ops.environment import root
from ops.errors import ConfigurationError, EngineMissing, OpsError
from ops.migrations import Command, Dbmate, Migrations, Sql
from ops.probes import ask
from ops.probes.around import Around
from ops.sandbox.shop import Shop

ENV = """
from alembic import context

if not context.is_offline_mode():
    raise RuntimeError("it connects")
context.configure(dialect_name="postgresql")
with context.begin_transaction():
    context.run_migrations()
"""
REVISION = """
revision, down_revision = {id!r}, {before!r}


def upgrade():
    pass
"""


@pytest.fixture
def role(shop: Shop) -> Iterator[Reader]:
    """One that may read everything, and nothing else."""
    with reader(shop.server, shop.name, "pg_monitor", "pg_read_all_data") as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two migrations."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "0001_first.sql").write_text("CREATE TABLE first (i int);\n")
    (directory / "0002_second.sql").write_text("CREATE TABLE second (i int);\n")
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    """One that nobody may make."""
    return Directory(path=str(tmp_path / "nowhere" / "backups"))


def environment(role: Reader, store: Directory, migrations: Migrations | None, **but: Any) -> Environment:
    """A protected one, that has no server to rehearse on."""
    database = role.request(**but).database
    assert database is not None
    return Environment(name="test", protected=True, database=database, store=store, migrations=migrations)


def asked(where: Environment) -> Result:
    """What came of it, from a worker of its own."""

    def worker(group: str, verb: str, **arguments: Any) -> dict[str, Any]:
        assert where.migrations
        assert group == where.migrations.hosts
        request = runner.request(where, verb, **arguments)
        done = subprocess.run(
            [sys.executable, "-m", "ops.worker", verb],
            cwd=root(), input=request + "\n", capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        answer: dict[str, Any] = json.loads(done.stdout)["answer"]
        if "error" in answer:
            raise OpsError.from_json(answer)
        return answer

    (one,) = ask(MigrationsCurrent(), Around(where, lambda group: [], worker))
    assert one.limit == "none pending, none failed"
    return one


def apply(shop: Shop, migrations: Migrations) -> None:
    """Apply what is pending, by the engine itself."""
    engine = open_engine(migrations)
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        pending = engine.status(connection).pending
    engine.up(Target(shop.description(), shop.name), pending, lambda said: None)


def tables(role: Reader) -> set[str]:
    with psycopg.connect(role.server.url(role.database)) as connection:
        return {name for (name,) in connection.execute("SELECT relname FROM pg_class")}


def test_what_is_pending_fails_and_asking_leaves_nothing_behind(role: Reader, place: Path, store: Directory) -> None:
    before = tables(role)
    found = asked(environment(role, store, Sql(directory=str(place), lint_fails=("require-timeout-settings",))))
    assert (found.outcome, found.value) == (Outcome.FAIL, "0001_first, 0002_second are pending")
    assert found.hint == "Type: pyinfra test deploys/migrate.py"
    assert tables(role) == before
    assert not Path(store.path).parent.exists()


def test_none_pending_passes_with_where_the_database_is(
    role: Reader, shop: Shop, place: Path, store: Directory
) -> None:
    migrations = Sql(directory=str(place))
    apply(shop, migrations)
    found = asked(environment(role, store, migrations))
    assert (found.outcome, found.value, found.hint) == (Outcome.PASS, "at 0002_second", "")


def test_code_without_migrations_passes(role: Reader, tmp_path: Path, store: Directory) -> None:
    found = asked(environment(role, store, Sql(directory=str(tmp_path))))
    assert (found.outcome, found.value) == (Outcome.PASS, "no migration is applied, and there is none")


def test_one_that_failed_half_way_fails_with_what_to_do(
    role: Reader, shop: Shop, place: Path, store: Directory
) -> None:
    (place / "0002_second.sql").write_text("-- transaction: none\nCREATE TABLE second (i int);\nSELECT 1 / 0;\n")
    migrations = Sql(directory=str(place))
    apply(shop, migrations)
    found = asked(environment(role, store, migrations))
    assert (found.outcome, found.value) == (Outcome.FAIL, "0002_second was begun before and not finished")
    assert "DELETE FROM ops_migrations WHERE id = '0002_second';" in found.hint


def test_one_that_the_code_does_not_know_fails_and_one_that_was_changed_as_well(
    role: Reader, shop: Shop, place: Path, store: Directory
) -> None:
    migrations = Sql(directory=str(place))
    apply(shop, migrations)
    (place / "0002_second.sql").rename(place / "0003_third.sql")
    (place / "0001_first.sql").write_text("CREATE TABLE first (i bigint);\n")
    found = asked(environment(role, store, migrations))
    assert found.outcome is Outcome.FAIL
    assert found.value == (
        "the database has 0002_second, which the code does not; 0001_first was changed after it was applied; "
        "0003_third is pending"
    )
    assert found.hint.startswith("Is it the code of an older release?")


def revisions(place: Path, *ids: str) -> Alembic:
    """An application on Alembic whose settings lead to no database."""
    (place / "alembic.ini").write_text(f"[alembic]\nscript_location = {place}/scripts\n")
    (place / "scripts" / "versions").mkdir(parents=True)
    (place / "scripts" / "env.py").write_text(ENV)
    for before, id in zip((None, *ids), ids, strict=False):
        (place / "scripts" / "versions" / f"{id}.py").write_text(REVISION.format(id=id, before=before))
    return Alembic(directory=str(place), python=sys.executable)


def test_the_head_of_alembic_is_where_the_database_must_be(role: Reader, tmp_path: Path, store: Directory) -> None:
    where = environment(role, store, revisions(tmp_path, "a1", "b2", "c3"))
    role.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)",
                 "INSERT INTO alembic_version VALUES ('a1')")  # fmt: skip
    assert asked(where).value == "b2, c3 are pending"
    role.execute("UPDATE alembic_version SET version_num = 'c3'")
    found = asked(where)
    assert (found.outcome, found.value) == (Outcome.PASS, "at c3")
    role.execute("UPDATE alembic_version SET version_num = 'd4'")
    found = asked(where)
    assert (found.outcome, found.value) == (Outcome.FAIL, "the database has d4, which the code does not")


def test_dbmate_and_any_other_tool_are_asked_as_well(role: Reader, place: Path, store: Directory) -> None:
    role.execute("CREATE TABLE done (id text)", "INSERT INTO done VALUES ('0001_first')")
    tool = Command(directory=str(place), files="*.sql", table="done", up="false", applied="SELECT id FROM done")
    assert asked(environment(role, store, tool)).value == "0002_second is pending"
    dbmate = environment(role, store, Dbmate(directory=str(place)))
    with pytest.raises(OpsError, match="has no line that says -- migrate:up"):
        asked(dbmate)
    for file in place.iterdir():
        file.write_text("-- migrate:up\nSELECT 1;\n")
    assert asked(dbmate).value == "0001, 0002 are pending"


def test_even_the_users_own_query_can_only_read(shop: Shop, place: Path, store: Directory) -> None:
    owner = Reader(shop.server, shop.name, shop.user, shop.password)
    owner.execute("CREATE TABLE done (id text)", f"ALTER TABLE done OWNER TO {shop.user}")
    query = "INSERT INTO done VALUES ('0001_first') RETURNING id"
    tool = Command(directory=str(place), files="*.sql", table="done", up="false", applied=query)
    with pytest.raises(OpsError, match="cannot execute INSERT in a read-only transaction"):
        asked(environment(owner, store, tool))


@pytest.mark.parametrize(
    ("migrations", "but", "kind", "said"),
    [
        (Sql(directory="/nonexistent"), {}, EngineMissing, "there is no directory /nonexistent"),
        (Alembic(directory="/tmp", python="/nonexistent/python"), {}, EngineMissing, "/nonexistent/python"),
        (Sql(directory="/tmp"), {"port": 1}, OpsError, "Connection refused"),
        (Sql(directory="/tmp"), {"password": "wrong"}, OpsError, "password authentication failed"),
        (None, {}, ConfigurationError, "does not say how its schema migrates"),
    ],
)
def test_what_cannot_be_asked_is_unknown(
    role: Reader, store: Directory, migrations: Migrations | None, but: dict[str, Any], kind: type, said: str
) -> None:
    with pytest.raises(kind) as error:
        asked(environment(role, store, migrations, **but))
    assert said in error.value.problem
    assert error.value.hint


def test_a_ledger_that_the_role_may_not_read_is_unknown(shop: Shop, place: Path, store: Directory) -> None:
    migrations = Sql(directory=str(place))
    apply(shop, migrations)
    with reader(shop.server, shop.name) as anybody:
        with pytest.raises(OpsError, match="permission denied for table ops_migrations"):
            asked(environment(anybody, store, migrations))


def test_to_go_further_than_to_look_needs_a_server_to_rehearse_on(role: Reader, place: Path, store: Directory) -> None:
    where = environment(role, store, Sql(directory=str(place)))
    looks = json.loads(runner.request(where, "migrate", look=True))
    assert not {"server", "jobs"} & set(looks)
    with pytest.raises(ConfigurationError, match="names no server to restore into"):
        runner.request(where, "migrate", until="status")


@pytest.mark.slow
def test_verify_tells_of_it_where_nothing_can_be_rehearsed(
    role: Reader, shop: Shop, place: Path, store: Directory, tmp_path: Path
) -> None:
    pyinfra = CommandLine(tmp_path)
    migrations = Sql(directory=str(place))
    where = environment(role, store, migrations).model_copy(update={"checks": (MigrationsCurrent(timeout=60),)})
    pyinfra.describe(where, runner=["@local"])
    said = failed(pyinfra.run("deploys/verify.py"))
    assert "0001_first" in said and "0002_second" in said
    assert "test is not as it must be: migrations" in said
    apply(shop, migrations)
    assert "at 0002_second" in succeeded(pyinfra.run("deploys/verify.py"))
