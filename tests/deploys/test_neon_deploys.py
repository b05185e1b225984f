"""Branches on Neon as typed: made, pruned, rehearsed on, and gone back to; against branches that are real databases."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from asked import Asked
from command_line import CommandLine
from standins.neon import NeonApi
from story import THREE, TWO, Story, begun

from ops import branches, clock
from ops.clouds.neon import Project
from ops.sandbox.shop import Shop
from ops.secrets import revealed

INVENTED = ["ops-restore-point-test-2026-01-01T00-00-00Z", "ops-rehearsal-test-2026-01-01T00-00-00Z"]
FOREIGN = ["ops-restore-point-prod-2026-01-01T00-00-00Z", "ops-preview", "main-before-2026-01-01T00-00-00Z"]
MANY = """
from ops.operations import branches, neon

neon.branch(name="make", branch="look", expires="2d")
neon.branch(name="without anything", branch="bare", endpoint=False)
neon.branch(name="none", branch="nothing", present=False)
neon.protect(name="protect", branch="bare")
neon.endpoint(name="suspend", branch="look", active=False)
neon.branch(name="make of it", branch="copy", parent="bare")
neon.restore(name="restore", branch="copy", source="bare", keep_as="copy-kept", confirm="test")
branches.backed_up(name="beside", keep="7d", max_age="1h")
"""


@pytest.fixture
def cloud(shop: Shop) -> Iterator[NeonApi]:
    """A project whose branch main is the shop."""
    with NeonApi(shop.server, shop.name, shop.user, shop.password) as neon:
        neon.looks = 0
        yield neon
        assert not neon.violations


@pytest.fixture
def typed(pyinfra: CommandLine, cloud: NeonApi) -> CommandLine:
    """The command line of a protected environment whose database is on Neon."""
    database = (
        f'Neon(project="{cloud.project}", database="{cloud.database}", role="{cloud.role}", sslmode="disable", '
        f'api_key=secret("TEST_NEON_KEY"), api="{cloud.api}")'
    )
    text = pyinfra.inventory.read_text().replace('Postgres(url=secret("TEST_DATABASE_URL"))', database)
    text = text.replace("Postgres, ", "Neon, ").replace('name="test",', 'name="test", protected=True,', 1)
    pyinfra.inventory.write_text(text)
    pyinfra.secrets["TEST_NEON_KEY"] = cloud.api_key
    return pyinfra


def test_branches_are_made_once_shown_and_pruned_by_rule(typed: CommandLine, cloud: NeonApi, tmp_path: Path) -> None:
    many = tmp_path / "many.py"
    many.write_text(MANY)
    first = typed.type("-y", "--json", str(many))
    assert first.code == 0, first.stderr
    done = {name for name, result in first.results().items() if result == "success"}
    assert done == {"make", "without anything", "protect", "suspend", "make of it", "restore", "beside"}
    assert cloud.endpoint("look").state == "idle"
    assert cloud.branch("bare").protected
    (backup,) = (name for name in cloud.names() if name.startswith("ops-backup-test-"))
    writes = len(cloud.requests) - len(cloud.asked("GET"))
    again = typed.type("-y", "--json", str(many))
    assert again.code == 0, again.stderr
    assert set(again.results().values()) == {"no_change"}
    assert len(cloud.requests) - len(cloud.asked("GET")) == writes

    project = Project(cloud.described())
    for name in INVENTED + FOREIGN:
        project.make(name, project.require("main"), endpoint=False)
    shown = typed.type("-y", "deploys/branches.py", "--data", "prune=yes")
    assert shown.code == 0, shown.stderr
    assert cloud.names() == {"main", "look", "copy", "copy-kept", "bare", backup, *FOREIGN}
    assert "is no backup" in shown.stderr
    assert max(len(line) for line in shown.stderr.splitlines()) <= 110
    fact = typed.type("--json", "fact", "ops.facts.neon.NeonBranches")
    assert f'"{backup}"' in fact.stdout and '"parent": "main"' in fact.stdout, fact.stdout + fact.stderr


def test_what_cannot_be_meant_is_one_line_and_changes_nothing(typed: CommandLine, cloud: NeonApi, shop: Shop) -> None:
    project = Project(cloud.described())
    main = project.require("main")
    project.make("look", project.make("parent", main, endpoint=False), endpoint=False)
    names, writes = cloud.names(), len(cloud.requests) - len(cloud.asked("GET"))
    for words, said in (
        (["neon.branch", "branch=main", "present=false", "confirm=test"], "it is the branch of the environment itself"),
        (["neon.branch", "branch=look", "present=false"], "the environment test is protected"),
        (["neon.branch", "branch=parent", "present=false", "confirm=test"], "it is the parent of look"),
        (["neon.branch", "branch=look"], "made of parent, not of main"),
        (["neon.branch", "branch=new", "expires=31d"], "at most 30 days"),
        (["neon.branch", "branch=main", "expires=1h", "parent=look"], "not of look"),
        (["neon.branch", "branch=look", "parent=parent", "expires=1h"], "the environment test is protected"),
        (["neon.restore", "branch=main", "source=look"], "the environment test is protected"),
        (
            ["neon.restore", "branch=look", "source=main", "keep_as=parent", "confirm=test"],
            "is not what look had before",
        ),
        (["neon.restore", "branch=man", "source=look", "confirm=test"], "has no branch man"),
    ):
        run = typed.type("-y", f"ops.operations.{words[0]}", *words[1:])
        assert run.code == 1
        assert said in run.stderr
        assert "Traceback" not in run.stderr
    assert cloud.names() == names
    assert len(cloud.requests) - len(cloud.asked("GET")) == writes


def test_a_branch_is_reset_and_goes_back_in_its_own_history(typed: CommandLine, cloud: NeonApi, shop: Shop) -> None:
    def sales(branch: str) -> set[str]:
        with closing(psycopg.connect(shop.server.url(cloud.branch(branch).database))) as connection:
            return {sku for (sku,) in connection.execute("SELECT sku FROM products WHERE sku LIKE 'NEW-%'")}

    def sell(branch: str, sku: str) -> None:
        with closing(psycopg.connect(shop.server.url(cloud.branch(branch).database), autocommit=True)) as connection:
            connection.execute(
                "INSERT INTO products (sku, name, price, category_id) SELECT %s, 'n', 1, min(id) FROM categories", [sku]
            )

    project = Project(cloud.described())
    project.make("preview", project.require("main"))
    sell("preview", "NEW-of-the-preview")
    sell("main", "NEW-of-main")
    reset = ("ops.operations.neon.reset", "branch=preview", "confirm=test")
    writes = len(cloud.requests) - len(cloud.asked("GET"))
    dry = typed.type("--dry", *reset)
    assert dry.code == 0, dry.stderr
    assert "what was written to it is gone" in dry.stderr
    assert len(cloud.requests) - len(cloud.asked("GET")) == writes
    run = typed.type("-y", *reset)
    assert run.code == 0, run.stderr
    assert sales("preview") == {"NEW-of-main"}

    point = project.make("point", project.require("preview"), endpoint=False)
    sell("preview", "NEW-by-mistake")
    back = ("branch=preview", "source=preview", f"at={point.lsn}", "keep_as=mistaken", "confirm=test")
    run = typed.type("-y", "ops.operations.neon.restore", *back)
    assert run.code == 0, run.stderr
    assert sales("preview") == {"NEW-of-main"}
    assert sales("mistaken") == {"NEW-of-main", "NEW-by-mistake"}
    run = typed.type("-y", "ops.operations.neon.restore", *back)
    assert "was restored already: what it had until then is mistaken" in run.stderr
    for at, said in (
        ("2001-01-01T00:00:00Z", "Neon answered 400: the point in time is outside of the restore window"),
        ("yesterday", "yesterday is no point in a branch's history"),
    ):
        words = ("branch=preview", "source=preview", f"at={at}", "confirm=test")
        run = typed.type("-y", "ops.operations.neon.restore", *words)
        assert run.code == 1
        assert said in run.stderr
        assert "Traceback" not in run.stderr


def test_a_database_elsewhere_has_no_branches(pyinfra: CommandLine) -> None:
    run = pyinfra.type("-y", "deploys/branches.py")
    assert run.code == 1
    assert "the database of test is not on Neon" in run.stderr


@pytest.fixture
def story(typed: CommandLine, worker: Asked, tmp_path: Path) -> Iterator[Story]:
    """The shop on Neon, of which release 1 serves."""
    with begun(typed, worker, tmp_path) as found:
        yield found


def restore_points(cloud: NeonApi) -> list[str]:
    """Those of the environment, the newest first."""
    return sorted((name for name in cloud.names() if name.startswith("ops-restore-point-test-")), reverse=True)


def kept(cloud: NeonApi) -> list[str]:
    """What main had before it was restored, the newest first."""
    return sorted((name for name in cloud.names() if branches.kept(name, "main")), reverse=True)


def killed(story: Story, *words: str, at: str) -> str:
    """Type it, and kill it when it says something; what it said until then."""
    said = ""
    with story.pyinfra.start("-y", *words, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if at in line:
                os.killpg(process.pid, signal.SIGKILL)
                break
    assert at in said, said
    return said


@pytest.mark.slow
def test_migrations_on_neon_are_rehearsed_on_a_branch_and_gone_back_from_by_one(story: Story, cloud: NeonApi) -> None:
    project = Project(cloud.described())
    project.make("ops-rehearsal-test-2026-11-21T10-00-00Z", project.require("main"))
    story.write("0001_birthday", "ALTER TABLE customers ADD COLUMN birthday date;")
    run = story.type("deploys/migrate.py")
    assert "deleting the branch ops-rehearsal-test-2026-11-21T10-00-00Z, which an earlier run left" in run.stderr
    assert "rehearsed on a branch of main" in run.stderr
    (first,) = restore_points(cloud)
    assert f"the branch {first}" in run.stderr
    assert cloud.names() == {"main", first}
    week = cloud.branch(first).expires
    assert week is not None and abs(week - cloud.now() - timedelta(days=7)) < timedelta(minutes=5)
    story.activate(TWO)
    story.write("0002_rename", "ALTER TABLE customers RENAME COLUMN name TO full_name;")
    story.type("deploys/migrate.py")
    second = restore_points(cloud)[0]
    story.activate(THREE)
    story.execute("INSERT INTO customers (full_name, email) SELECT 'n', g || '@new' FROM generate_series(1, 5) g")
    before = cloud.connection_url("main")

    back, sure = ("deploys/rollback.py", "--data", "database=branch"), ("--data", "confirm=test")
    assert "branch (Neon's restore point)" in story.type("deploys/rollback.py", code=1).stderr
    assert "the environment test is protected" in story.type(*back, code=1).stderr
    assert not kept(cloud)
    # Killed when the database has gone back and the service has not: the same command goes on from there.
    said = killed(story, *back, *sure, at="the last migration 0001_birthday")
    assert f"what going back to {second}" in said
    assert re.search(r"public\.customers +\d+ +\d+ +5 ", said), said
    (first_kept,) = kept(cloud)
    # What was undone by hand meanwhile is not taken for done.
    story.type("deploys/restore.py", "--data", f"branch={first_kept}", *sure)
    assert "full_name" in story.columns()
    killed(story, *back, *sure, at="the last migration 0001_birthday")
    before_resuming = kept(cloud)
    old = before_resuming[0]
    story.execute("INSERT INTO customers (name, email) VALUES ('since', 'since@new')")
    run = story.type(*back, *sure)
    assert "it went back in a run that was cut; that it did is proved now" in run.stderr
    assert f"main is as {second} is" in run.stderr
    assert kept(cloud) == before_resuming
    assert story.serving() == [TWO, TWO]
    assert {"name", "birthday"} <= story.columns()
    assert cloud.connection_url("main") == before
    assert rows(story, cloud, "main", "name = 'since'") == 1
    assert rows(story, cloud, old, "full_name = 'n'") == 5

    run = story.type("deploys/restore.py", "--data", f"branch={old}", *sure)
    assert f"main is as {old} is" in run.stderr
    again = kept(cloud)[0]
    assert f"deploys/restore.py --data branch={again} --data confirm=test" in run.stderr
    assert rows(story, cloud, "main", "full_name = 'n'") == 5
    assert rows(story, cloud, again, "name = 'since'") == 1


def rows(story: Story, cloud: NeonApi, branch: str, where: str) -> int:
    """How many customers of a branch are so."""
    url = story.worker.shop.server.url(cloud.branch(branch).database)
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(f"SELECT count(*) FROM customers WHERE {where}").fetchone()[0]


def test_a_restore_point_is_chosen_by_its_migration_and_what_does_not_fit_is_named(
    cloud: NeonApi, worker: Asked, tmp_path: Path
) -> None:
    described, name = cloud.described(), "ops-restore-point-test-2026-11-21T1{}-00-00Z"
    project = Project(described)
    main = project.require("main")
    asked = {
        "neon": revealed(described),
        "database": revealed(described.plain()),
        "migrations": {"kind": "sql", "directory": str(tmp_path)},
    }

    def apply(migration: str) -> None:
        with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
            table = "id text PRIMARY KEY, checksum text, began timestamptz, finished timestamptz"
            connection.execute(f"CREATE TABLE IF NOT EXISTS ops_migrations ({table})")
            connection.execute("INSERT INTO ops_migrations VALUES (%s, '', now(), now())", [migration])

    project.make(name.format(0), main, expires=clock.now() + timedelta(days=6), endpoint=False)
    for hour, migration in enumerate(("0001_a", "0002_b"), 1):
        apply(migration)
        project.make(name.format(hour), main, expires=clock.now() + timedelta(days=6), endpoint=False)
    for wanted, hour in (("base", 0), ("0001_a", 1), ("0002_b", 2)):
        found = worker.ask("branch", migration=wanted, **asked)
        assert found.code == 0, found.answer
        assert found.answer["branch"]["name"] == name.format(hour)
    for words, said in (
        ({"migration": "0003_c"}, "no restore point of test is at the migration 0003_c"),
        ({"migration": "0001_a", "branch": name.format(2)}, "is not at the migration 0001_a"),
        ({"migration": "0001_a", "branch": "mistyped"}, "has no branch mistyped"),
        ({"branch": "main"}, "main is the branch of test itself"),
        ({}, "it is not known which migration"),
    ):
        found = worker.ask("branch", **{**asked, **words})
        assert found.code == 1
        assert said in found.answer["message"], found.answer
    # What is written after it went back does not speak against the proof; what is missing does.
    assert worker.ask("branch", branch=name.format(2), until="proof", **asked).code == 0
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        connection.execute("DELETE FROM ops_migrations WHERE id = '0002_b'")
    found = worker.ask("branch", branch=name.format(2), until="proof", **asked)
    assert (
        "its last migration is 0001_a, 0002_b in the branch; public.ops_migrations has 1 rows"
        in found.answer["message"]
    )
    cloud.pass_time(timedelta(days=7))
    found = worker.ask("branch", migration="0001_a", **asked)
    assert "no restore point of test is at the migration 0001_a" in found.answer["message"]
    assert "Restore points are kept for 7d" in found.answer["hint"]
