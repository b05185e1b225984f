"""Migrations undone, as typed: told before, rehearsed, refused."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

pytestmark = pytest.mark.slow

UNDO = "Undo the migrations"
DEPLOY = """
from pyinfra import host

from ops.operations import migrations

migrations.reverted(name="Undo the migrations", to=host.data.get("to"), report=host.data.get("report"))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two migrations, of which the second adds a column."""
    place = tmp_path / "migrations"
    place.mkdir()
    (place / "0001_first.sql").write_text("CREATE TABLE first (id int);\n")
    (place / "0001_first.down.sql").write_text("DROP TABLE first;\n")
    (place / "0002_add.sql").write_text("ALTER TABLE orders ADD COLUMN x int;\n")
    (place / "0002_add.down.sql").write_text("ALTER TABLE orders DROP COLUMN x;\n")
    return place


@pytest.fixture
def undo(pyinfra, directory, tmp_path):
    """Types a deploy that undoes migrations, in an environment where they were applied."""
    text = pyinfra.inventory.read_text().replace("Retention, secret", "Retention, Sql, secret")
    described = f"migrations=Sql(directory={str(directory)!r}),\n    drill="
    pyinfra.inventory.write_text(text.replace("drill=", described, 1))
    deploy = tmp_path / "undo.py"
    deploy.write_text(DEPLOY)
    run = pyinfra.type("-y", "deploys/migrate.py")
    assert run.code == 0, run.stderr
    return lambda to, *options: pyinfra.type(*options, str(deploy), "--data", f"to={to}")


def columns(shop) -> set[str]:
    with psycopg.connect(shop.url, autocommit=True) as connection:
        query = "SELECT attname FROM pg_attribute WHERE attrelid = 'orders'::regclass AND NOT attisdropped"
        return {name for (name,) in connection.execute(query)}


@pytest.mark.slow
def test_dry_says_what_would_be_undone_and_then_it_is_once(undo, shop, tmp_path):
    dry = undo("0001_first", "--dry")
    assert dry.code == 0, dry.stderr
    assert "Would: rehearse and undo 1 migration: 0002_add" in dry.stderr
    assert "orders.x is new and may be empty" in dry.stderr
    assert "x" in columns(shop)
    with psycopg.connect(shop.url) as connection:
        connection.execute("INSERT INTO orders (customer_id, address_id) SELECT 1, 1 FROM generate_series(1, 1000)")
        connection.execute("UPDATE orders SET x = 1")
    report = tmp_path / "report.md"
    done = undo("0001_first", "-y", "--json", "--data", f"report={report}")
    assert done.code == 0, done.stderr
    assert done.results() == {UNDO: "success"}
    assert "public.orders.x: 1,300 values are lost" in done.stderr
    assert "undone, applied again, and undone, with the same schema: 0002_add" in done.stderr
    assert max(len(line) for line in done.stderr.splitlines() if str(tmp_path) not in line) <= 104
    assert "x" not in columns(shop)
    text = report.read_text()
    assert "To be undone: `0002_add`. Applied before: `0002_add`." in text
    assert "| 0002_add | yes | additive | orders.x is new and may be empty |" in text
    assert "Undone and proved: `0002_add`." in text
    again = undo("0001_first", "-y", "--json")
    assert again.results() == {UNDO: "no_change"}
    assert "no migration was applied after 0001_first" in again.stderr


def test_what_has_no_way_back_is_refused_in_the_plan(undo, shop, directory):
    (directory / "0002_add.down.sql").unlink()
    dry = undo("base", "--dry")
    assert dry.code == 1
    assert "no way back is known of 0002_add. Choose database=restore" in dry.stderr
    assert "Traceback" not in dry.stderr
    assert "0001_first" in dry.stderr, "the table tells all of them"
    unknown = undo("815", "-y")
    assert unknown.code == 1
    assert "the database has not applied 815. What it applied last: 0002_add, 0001_first" in unknown.stderr
    assert "x" in columns(shop)
