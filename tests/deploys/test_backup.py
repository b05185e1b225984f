"""The deploys as typed: backup, drill, backups; once, twice, dry, in JSON, and with what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from command_line import CommandLine

from ops.environment import root
from ops.stores import open_store

TAKE, CHECK, PRUNE = "Take a backup", "Check it as stored", "Prune what the retention rules let go"
PROVE = "Prove the backup"


def keys(store):
    return [entry.key for entry in open_store(store).list()]


def databases(postgres):
    with psycopg.connect(postgres.url()) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def test_a_backup_and_its_drill_change_something_once_and_nothing_the_second_time(pyinfra, store_s3):
    first = pyinfra.type("-y", "--json", "deploys/backup.py", "deploys/drill.py")
    assert first.code == 0, first.stderr
    assert first.results() == {TAKE: "success", CHECK: "no_change", PRUNE: "no_change", PROVE: "success"}
    assert sorted({key.rpartition("/")[2] for key in keys(store_s3) if "/runs/" not in key}) == [
        "backup.lock",
        "database.dump",
        "drill.lock",
        "globals.sql",
        "manifest.json",
        "verification.json",
    ]
    before = keys(store_s3)
    second = pyinfra.type("-y", "--json", "deploys/backup.py", "deploys/drill.py")
    assert second.code == 0, second.stderr
    assert set(second.results().values()) == {"no_change"}
    assert keys(store_s3) == before


def test_a_younger_backup_than_allowed_is_enough_and_an_older_one_is_not(pyinfra, worker):
    worker.ask("dump")
    enough = pyinfra.type("-y", "--json", "deploys/backup.py")
    assert enough.results()[TAKE] == "no_change"
    again = pyinfra.type("-y", "--json", "deploys/backup.py", "--data", "max_age=0s")
    assert again.results()[TAKE] == "success"


def test_dry_says_in_words_what_would_be_done_and_writes_nothing(pyinfra, worker, postgres, store_s3):
    before = databases(postgres)
    dry = pyinfra.type("--dry", "deploys/backup.py")
    assert dry.code == 0
    assert any("Would: take a backup of test/" in line and "there is none yet" in line for line in dry.lines)
    assert keys(store_s3) == []
    worker.ask("dump")
    before_keys = keys(store_s3)
    dry = pyinfra.type("--dry", "deploys/drill.py")
    assert any("Would: prove the backup" in line and "scratch database" in line for line in dry.lines)
    assert keys(store_s3) == before_keys
    assert databases(postgres) == before


def test_dry_in_json_is_pure_json_with_the_plan(pyinfra):
    dry = pyinfra.type("--dry", "--json", "deploys/backup.py")
    answer = json.loads(dry.stdout)
    assert [operation["name"] for operation in answer["plan"] if operation["hosts_with_change"]] == [TAKE]
    assert answer["results"] is None


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["deploys/backup.py"], "there is no terminal on which to ask before anything is done. Add -y"),
        (["-y", "deploys/backup.py", "--data", "max_agee=1h"], "no option max_agee. Did you mean max_age?"),
        (["-y", "deploys/drill.py", "--data", "max_age"], "--data max_age has no value"),
        (["--dry", "-y", "deploys/backup.py", "--data", "max_age=7"], "7 is no duration"),
        (["-y", "deploys/drill.py", "--data", "backup=2026"], "there is no backup 2026"),
        (["-y", "--limit", "nobody", "deploys/backup.py"], "no host was left to run on"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_nothing_is_done(pyinfra, store_s3, typed, words):
    run = pyinfra.type(*typed)
    assert run.code != 0
    assert any(words in line for line in run.lines), run.stderr
    assert "Traceback" not in run.stderr
    assert keys(store_s3) == []


def test_an_environment_that_does_not_exist_is_an_error():
    """pyinfra itself would go on without any host, and exit 0."""
    done = subprocess.run(
        [Path(sys.executable).with_name("pyinfra"), "-y", "prd", "deploys/backup.py"],
        cwd=root(),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "there is no environment prd. Did you mean prod? There are: local, prod, staging" in done.stderr


def test_dry_shows_its_plan_also_beside_yes(pyinfra, store_s3):
    dry = pyinfra.type("--dry", "-y", "deploys/backup.py")
    assert any("Would: take a backup" in line for line in dry.lines)
    assert keys(store_s3) == []


def test_prune_prints_what_goes_and_why(tmp_path, worker, shop, store_s3):
    pyinfra = CommandLine(tmp_path, shop, store_s3, retention="newest=1, daily=0, weekly=0, monthly=0")
    worker.ask("dump")
    assert pyinfra.type("-y", "deploys/backup.py", "--data", "max_age=0s").code == 0
    unproven = [key for key in keys(store_s3) if key.endswith("manifest.json")]
    assert len(unproven) == 2, "nothing goes while no backup is proven"
    worker.ask("drill")
    dry = pyinfra.type("--dry", "deploys/backup.py")
    oldest = min(unproven).split("/")[2]
    assert any(f"Would: remove {oldest}" in line and "no retention rule keeps it" in line for line in dry.lines)
    run = pyinfra.type("-y", "deploys/backup.py")
    assert any(f"removing {oldest}: no retention rule keeps it" in line for line in run.lines)
    assert not [key for key in keys(store_s3) if oldest in key]


def test_the_table_of_backups_fits_in_100_columns_and_says_what_is_known(pyinfra, worker):
    assert any("there is no backup" in line for line in pyinfra.type("-y", "deploys/backups.py").lines)
    worker.ask("dump")
    worker.ask("drill")
    shown = pyinfra.type("-y", "deploys/backups.py")
    assert shown.code == 0
    row = next(line for line in shown.lines if " proven " in line and "20" in line and "Z" in line)
    assert "never" not in row
    assert max(map(len, shown.stderr.splitlines())) <= 100
    assert "\x1b" not in shown.stderr, "colours are for terminals"


def test_the_fact_is_for_machines(pyinfra, worker):
    worker.ask("dump")
    told = pyinfra.type("--json", "fact", "ops.facts.backups.Backups")
    assert told.code == 0
    (by_host,) = json.loads(told.stdout).values()
    assert by_host["@local"]["backups"][0]["state"] == "unproven"


def test_a_fact_that_cannot_be_had_is_an_error(pyinfra):
    told = pyinfra.type("fact", "ops.facts.backups.Backups", TEST_SECRET_KEY="wrong")
    assert told.code != 0
    assert any("TEST_SECRET_KEY" in line or "secret" in line for line in told.lines)


def test_progress_is_not_red_and_the_answer_is_not_shown(pyinfra):
    run = pyinfra.type("-y", "deploys/backup.py", FORCE_COLOR="1")
    assert any("dumped" in line and "counted" in line for line in run.lines)
    assert '{"answer"' not in run.stderr


@pytest.mark.parametrize("yes", ["-y", "--dry"])
def test_prod_without_its_secrets_stops_with_one_line_that_names_the_missing_one(yes, tmp_path):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("R2_", "PROD_"))}
    done = subprocess.run(
        [Path(sys.executable).with_name("pyinfra"), yes, "prod", "deploys/backup.py"],
        cwd=root(),
        env=clean,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if "the secret R2_ACCESS_KEY_ID is missing" in line]
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("replace", "by", "words"),
    [
        ("Retention()", "Retention(dayly=3)", "Retention has no field 'dayly'"),
        ('name="test"', 'name="Test Env"', "'name'"),
        ("environment.group", "list", "no environment is known for the host"),
        ("runner =", "app =", "the inventory has no group runner"),
    ],
)
def test_a_mistake_in_the_inventory_is_one_line(pyinfra, replace, by, words):
    text = pyinfra.inventory.read_text().replace(replace, by)
    if by == "list":
        text = text.replace('runner = list("@local")', 'runner = ["@local"]')
    pyinfra.inventory.write_text(text)
    run = pyinfra.type("-y", "deploys/backup.py")
    assert run.code != 0
    assert any(words in line for line in run.lines), run.stderr
    assert "Traceback" not in run.stderr


def test_a_bad_option_is_one_line(pyinfra, store_s3):
    run = pyinfra.type("-y", "deploys/backup.py", "--data", "max_age=soon")
    assert run.code != 0
    assert any("'soon' is no duration" in line for line in run.lines)
    assert keys(store_s3) == []


def test_a_backup_that_is_not_there_is_one_line(pyinfra, worker):
    worker.ask("dump")
    run = pyinfra.type("-y", "deploys/drill.py", "--data", "backup=2020-01-01T00-00-00Z")
    assert run.code != 0
    assert any("there is no backup 2020-01-01T00-00-00Z" in line and "deploys/backups.py" in line for line in run.lines)


def test_links_in_the_root_lead_to_every_inventory():
    for inventory in (root() / "inventories").glob("*.py"):
        link = root() / inventory.stem
        assert link.is_symlink()
        assert link.resolve() == inventory


def test_the_dump_restores_with_pg_restore_alone_and_equals_the_source(pyinfra, shop, store_s3, tmp_path, postgres):
    """As the README's last resort says: any S3 client, and PostgreSQL's own program."""
    import boto3

    assert pyinfra.type("-y", "deploys/backup.py").code == 0
    client = boto3.client(
        "s3",
        endpoint_url=store_s3.endpoint,
        region_name="us-east-1",
        aws_access_key_id=store_s3.access_key.reveal(),
        aws_secret_access_key=store_s3.secret_key.reveal(),
    )
    key = next(key for key in keys(store_s3) if key.endswith("database.dump"))
    client.download_file(store_s3.bucket, f"{store_s3.prefix}/{key}", str(tmp_path / "database.dump"))
    copy = f"{shop.name}_by_hand"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{copy}" OWNER {shop.user}')
    subprocess.run(
        [
            postgres.bin_dir / "pg_restore",
            "--exit-on-error",
            "--dbname",
            postgres.url(copy),
            tmp_path / "database.dump",
        ],
        check=True,
    )

    def contents(database):
        """Everything, by pg_dump's own words, sorted: the rows' physical order is no matter."""
        dump = subprocess.run(
            [postgres.bin_dir / "pg_dump", "--dbname", postgres.url(database)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return sorted(line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))

    assert contents(copy) == contents(shop.name)
