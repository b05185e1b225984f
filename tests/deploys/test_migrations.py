"""Migrations as typed: rehearsed, applied, refused."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from servers import running

from ops import record
from ops.sandbox.supervisor import WebServer
from ops.stores import open_store

APPLY, REHEARSE = "Apply the migrations", "Rehearse the migrations"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One pending migration with a way back."""
    place = tmp_path / "migrations"
    place.mkdir()
    (place / "0001_add.sql").write_text("ALTER TABLE orders ADD COLUMN x int;\nSELECT pg_sleep(0.1);\n")
    (place / "0001_add.down.sql").write_text("ALTER TABLE orders DROP COLUMN x;\n")
    return place


@pytest.fixture
def migrating(pyinfra, directory):
    """The command line, in an environment that migrates."""
    text = pyinfra.inventory.read_text().replace("Retention, secret", "Retention, Sql, secret")
    described = f"migrations=Sql(directory={str(directory)!r}),\n    drill="
    pyinfra.inventory.write_text(text.replace("drill=", described, 1))
    return pyinfra


def columns(shop) -> set[str]:
    with psycopg.connect(shop.url) as connection:
        query = "SELECT attname FROM pg_attribute WHERE attrelid = 'orders'::regclass AND NOT attisdropped"
        return {name for (name,) in connection.execute(query)}


def test_a_rehearsal_leaves_the_real_database_and_a_report(migrating, shop, tmp_path):
    report = tmp_path / "report.md"
    run = migrating.type("-y", "deploys/rehearse.py", "--data", f"report={report}")
    assert run.code == 0, run.stderr
    assert "x" not in columns(shop)
    assert "AccessExclusiveLock" in run.stderr
    assert "undone and applied again, with the same schema: 0001_add" in run.stderr
    assert max(len(line) for line in run.stderr.splitlines() if str(tmp_path) not in line) <= 104
    text = report.read_text()
    assert "| 0001_add | `ALTER TABLE orders ADD COLUMN x int;` |" in text
    assert "| public.orders | AccessExclusiveLock |" in text


def test_applied_once_is_no_change_the_second_time(migrating, shop):
    first = migrating.type("-y", "--json", "deploys/migrate.py")
    assert first.code == 0, first.stderr
    assert first.results()[APPLY] == "success"
    assert "x" in columns(shop)
    second = migrating.type("-y", "--json", "deploys/migrate.py", "deploys/rehearse.py")
    assert second.code == 0, second.stderr
    again = second.results()
    assert (again[APPLY], again[REHEARSE]) == ("no_change", "no_change")


def test_dry_says_what_would_be_done_and_touches_nothing(migrating, shop):
    dry = migrating.type("--dry", "deploys/migrate.py")
    assert dry.code == 0, dry.stderr
    assert "Would: rehearse and apply 1 migration: 0001_add" in dry.stderr
    assert "x" not in columns(shop)


def test_what_the_rehearsal_refuses_is_one_line_below_its_table(migrating, shop, directory, tmp_path):
    (directory / "0002_wrong.sql").write_text("ALTER TABLE orders ADD COLUMN id int;\n")
    report = tmp_path / "report.md"
    run = migrating.type("-y", "deploys/migrate.py", "--data", f"report={report}")
    assert run.code == 1
    assert 'the migration 0002_wrong failed: column "id" of relation "orders" already exists' in run.stderr
    assert "Traceback" not in run.stderr
    assert "x" not in columns(shop)
    assert "**Refused:** in the rehearsal" in report.read_text()


def test_an_environment_that_does_not_migrate_says_so(pyinfra):
    run = pyinfra.type("-y", "deploys/migrate.py")
    assert run.code == 1
    assert "does not say how its schema migrates" in run.stderr


def test_a_hotfix_goes_the_same_way_once(migrating, shop, tmp_path):
    hotfix = tmp_path / "HOTFIX_001.sql"
    hotfix.write_text("ALTER TABLE orders ADD COLUMN fixed int;\n")
    typed = ("-y", "--json", "deploys/migrate.py", "--data", f"hotfix={hotfix}")
    first = migrating.type(*typed)
    assert first.code == 0, first.stderr
    assert first.results()[APPLY] == "success"
    assert columns(shop) >= {"fixed"} and "x" not in columns(shop), "what is pending is left for its own time"
    assert migrating.type(*typed).results()[APPLY] == "no_change"
    hotfix.write_text("ALTER TABLE orders ADD COLUMN other int;\n")
    changed = migrating.type(*typed)
    assert changed.code == 1
    assert "HOTFIX_001 was changed after it was applied" in changed.stderr
    after = migrating.type("-y", "deploys/migrate.py")
    assert after.code == 0, after.stderr
    assert "x" in columns(shop)
    gone = migrating.type("-y", "deploys/migrate.py", "--data", "hotfix=nothing.sql")
    assert gone.code == 1
    assert "the hotfix nothing.sql cannot be read: No such file or directory" in gone.stderr


def test_a_service_that_is_not_well_afterwards_is_a_failure(migrating, shop, tmp_path):
    web = WebServer(tmp_path / "web")
    described = f"""services=[
        Supervisor(
            name="web", hosts="runner", programs=["web_1"], configuration={str(web.configuration)!r},
            command={web.command!r}, releases={str(web.releases)!r},
            ports=[PORT], health="http://127.0.0.1:{{port}}/", within=2,
        )
    ],
    drill="""
    text = migrating.inventory.read_text().replace("Retention, ", "Retention, Supervisor, ")
    with running(web):
        well = text.replace("drill=", described.replace("PORT", str(web.ports["web_1"])), 1)
        # Nobody listens on port 1.
        migrating.inventory.write_text(text.replace("drill=", described.replace("PORT", "1"), 1))
        run = migrating.type("-y", "deploys/migrate.py")
        assert run.code == 1
        assert "web is not healthy: web_1 http://127.0.0.1:1/ does not answer" in run.stderr
        assert "x" in columns(shop)
        migrating.inventory.write_text(well)
        (tmp_path / "migrations" / "0002_more.sql").write_text("ALTER TABLE orders ADD COLUMN y int;")
        run = migrating.type("-y", "deploys/migrate.py")
        assert run.code == 0, run.stderr
        assert "web on @local is well" in run.stderr
        run = migrating.type("-y", "deploys/migrate.py")
        assert run.code == 0, run.stderr
        assert "is well" not in run.stderr


def test_the_record_says_from_where_which_migrations_were_applied_and_the_backup_before(migrating, store_s3):
    store = open_store(store_s3)
    assert migrating.type("-y", "deploys/rehearse.py").code == 0
    (rehearsal,) = record.runs(store, "test", 10)
    assert "migrations" not in rehearsal.facts
    assert not [entry for entry in store.list() if entry.key == "test/lock"], "a rehearsal keeps nobody out"
    assert migrating.type("-y", "deploys/migrate.py").code == 0
    run = next(run for run in record.runs(store, "test", 10) if run.deploy == "migrate")
    assert run.facts["migrations"]["applied"] == ["0001_add"]
    assert any(f"/{run.facts['backup']}/manifest.json" in entry.key for entry in store.list())
    assert [step.outcome for step in run.steps] == ["done", "done"]
