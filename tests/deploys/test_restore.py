"""A restore as typed: shown before, carried out once, undone once."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

pytestmark = pytest.mark.slow

RESTORE = "Restore beside, prove, swap in"
UNDO = "Swap back what the last restore replaced"


@pytest.fixture
def proven(pyinfra, worker):
    """An environment with one proven backup, and a table that came later."""
    assert worker.ask("dump").code == 0
    assert worker.ask("drill").code == 0
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE later AS SELECT generate_series(1, 1234) AS x, now() AS at")
    return pyinfra


def is_later(shop) -> bool:
    with closing(psycopg.connect(shop.url)) as connection:
        return connection.execute("SELECT to_regclass('later') IS NOT NULL").fetchone() == (True,)


def test_dry_says_what_would_be_lost_and_changes_nothing(proven, shop):
    run = proven.type("--dry", "deploys/restore.py")
    assert run.code == 0, run.stderr
    assert "public.later" in run.stderr
    assert "1,234" in run.stderr
    assert "no table" in run.stderr
    assert f"Would: restore {run.stderr.split('Would: restore ')[1].split()[0]} beside {shop.name}" in run.stderr
    assert max(len(line) for line in run.stderr.splitlines()) <= 120
    assert is_later(shop)


def test_once_it_is_a_change_and_undone_once(proven, shop):
    first = proven.type("-y", "--json", "deploys/restore.py")
    assert first.code == 0, first.stderr
    assert first.results()[RESTORE] == "success"
    assert not is_later(shop)
    assert f"kept as {shop.name}_before_" in first.stderr
    second = proven.type("-y", "--json", "deploys/restore.py")
    assert second.code == 0, second.stderr
    assert second.results()[RESTORE] == "no_change"
    assert "is restored from" in second.stderr
    undone = proven.type("-y", "--json", "deploys/restore.py", "--data", "undo=yes")
    assert undone.code == 0, undone.stderr
    assert undone.results()[UNDO] == "success"
    assert is_later(shop)
    again = proven.type("-y", "--json", "deploys/restore.py", "--data", "undo=yes")
    assert again.results()[UNDO] == "no_change"
    assert is_later(shop)


def test_a_protected_environment_is_confirmed_by_name(proven, shop):
    text = proven.inventory.read_text().replace("store=", "protected=True,\n    store=", 1)
    proven.inventory.write_text(text)
    run = proven.type("-y", "deploys/restore.py")
    assert run.code == 1
    assert "the environment test is protected" in run.stderr
    assert "--data confirm=test" in run.stderr
    assert is_later(shop)
    run = proven.type("-y", "deploys/restore.py", "--data", "confirm=test")
    assert run.code == 0, run.stderr
    assert not is_later(shop)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("backup=2020-01-01T00-00-00Z", "there is no backup 2020-01-01T00-00-00Z of test/"),
        ("backup=nonsense", "there is no backup nonsense of test/"),
        ("nonsense=1", "nonsense"),
    ],
)
def test_what_cannot_be_meant_is_one_line(proven, shop, option, said):
    run = proven.type("-y", "deploys/restore.py", "--data", option)
    assert run.code == 1
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert is_later(shop)


def test_a_backup_that_nobody_has_proven_is_one_line(proven, shop, worker):
    id = worker.ask("dump").backup["id"]
    run = proven.type("-y", "deploys/restore.py", "--data", f"backup={id}")
    assert run.code == 1
    assert f"the backup {id} is not proven" in run.stderr
    assert f"pyinfra test deploys/drill.py --data backup={id}" in run.stderr
    assert is_later(shop)
