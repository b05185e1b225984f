"""What goes wrong between a rehearsal and production, and must be found before it does."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from applications import OfAlembic, OfDbmate, OfSql
from asked import Asked
from psycopg import sql
from questions import columns

from ops import Postgres
from ops.sandbox.shop import Shop
from ops.secrets import Secret, revealed

pytestmark = pytest.mark.slow

CREATOR = """
from alembic import context
from pathlib import Path
from sqlalchemy import create_engine
import psycopg

url = Path(__file__).with_name("settings.txt").read_text().strip().replace("+psycopg", "")
engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
RAW = """
from alembic import op
import psycopg
revision = "0001_raw"
down_revision = None


def upgrade():
    with psycopg.connect({url!r}) as connection:
        connection.execute("UPDATE customers SET name = 'changed'")


def downgrade():
    pass
"""
ADD = "ALTER TABLE orders ADD COLUMN x int"
DROP = "ALTER TABLE orders DROP COLUMN x"


def migrate(worker: Asked, application, until: str = "proof", **more):
    fields = {key: more.pop(key) for key in list(more) if key != "server"}
    return worker.ask("migrate", migrations={**application.description, **fields}, until=until, **more)


def asked(worker: Asked, query: str):
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else None


def test_an_engine_that_is_given_a_connection_of_the_applications_own(worker: Asked, alembic: OfAlembic) -> None:
    (alembic.place / "migrations" / "env.py").write_text(CREATOR)
    alembic.write("add", ADD, down=(DROP,))
    before = columns(worker)
    rehearsed = migrate(worker, alembic, "rehearsal")
    assert rehearsed.code == 0, rehearsed.answer
    assert rehearsed.answer["rehearsal"]["schema"] == ["+ column public.orders.x"]
    assert columns(worker) == before
    assert migrate(worker, alembic).code == 0
    assert columns(worker) == {*before, "x"}


def test_a_revision_that_connects_by_itself_does_not_while_it_is_only_read(worker: Asked, alembic: OfAlembic) -> None:
    file = alembic.place / "migrations" / "versions" / "raw.py"
    file.write_text(RAW.format(url=worker.shop.url))
    status = migrate(worker, alembic, "status")
    assert status.code == 0, status.answer
    assert status.answer["not_linted"] == ["0001_raw"]
    assert migrate(worker, alembic, "rehearsal").code == 0
    assert asked(worker, "SELECT count(*) FROM customers WHERE name = 'changed'") == [(0,)]
    refused = migrate(worker, alembic, "status", lint_fails=["ban-drop-table"])
    assert "0001_raw is not known without a database, so it was not linted" in refused.answer["message"]


def test_what_changes_the_whole_server_is_not_rehearsed_beside_production(worker: Asked, plain: OfSql) -> None:
    plain.write(
        "role", "INSERT INTO categories (name) VALUES ('please create user accounts')", "CREATE ROLE somebody_new"
    )
    answer = migrate(worker, plain, "rehearsal")
    assert answer.code == 1
    assert "0001_role has CREATE ROLE, which changes the whole server" in answer.answer["message"]
    assert asked(worker, "SELECT count(*) FROM pg_roles WHERE rolname = 'somebody_new'") == [(0,)]


def test_nor_on_a_backup_that_is_restored_beside_it(worker: Asked, plain: OfSql) -> None:
    plain.write("role", "CREATE ROLE somebody_else")
    with closing(psycopg.connect(worker.shop.url)):  # so that no clone can be made
        answer = migrate(worker, plain, "rehearsal")
    assert answer.code == 1
    assert "0001_role has CREATE ROLE, which changes the whole server" in answer.answer["message"]
    assert asked(worker, "SELECT count(*) FROM pg_roles WHERE rolname = 'somebody_else'") == [(0,)]


@pytest.mark.parametrize("kind", [OfSql, OfAlembic])
def test_what_is_no_transaction_is_not_begun_again_when_it_gets_no_lock(worker: Asked, place: Path, kind) -> None:
    application = kind(place, worker.shop.url)
    asked(worker, "CREATE TABLE account AS SELECT 100 AS balance")
    application.write("pay", "UPDATE account SET balance = balance + 10", ADD, outside=True)
    with psycopg.connect(worker.shop.url) as blocker:
        blocker.execute("SELECT count(*) FROM orders")
        answer = migrate(worker, application, lock_timeout=0.3, tries=3)
        blocker.rollback()
    assert answer.code == 1
    assert asked(worker, "SELECT balance FROM account") == [(110,)]
    said = answer.answer["message"]
    assert "rows may have been changed: it is no transaction" in said or "is half done" in said, said


def test_a_file_that_changes_while_it_is_rehearsed_is_not_applied(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, "SELECT pg_sleep(1)")
    file = plain.place / "0001_add.sql"

    def change() -> None:
        while not asked(worker, "SELECT 1 FROM pg_database WHERE datname LIKE 'ops_rehearsal_%'"):
            time.sleep(0.02)
        time.sleep(0.3)
        file.write_text("ALTER TABLE orders ADD COLUMN never_rehearsed int;\n")

    changing = threading.Thread(target=change)
    changing.start()
    answer = migrate(worker, plain)
    changing.join()
    assert answer.code == 1
    assert "the pending migrations changed since they were rehearsed" in answer.answer["message"]
    assert not columns(worker) & {"x", "never_rehearsed"}


def test_a_long_lock_is_not_hidden_by_a_short_one_that_is_stronger(worker: Asked, plain: OfSql) -> None:
    plain.write("index", "CREATE INDEX slow ON orders (note)", "SELECT pg_sleep(0.6)", ADD)
    answer = migrate(worker, plain, "rehearsal", longest_lock=0.3)
    assert answer.code == 1
    assert "by ShareLock in 0001_index; 0.3 s are allowed" in answer.answer["message"]


def test_a_view_that_is_replaced_is_locked_too(worker: Asked, plain: OfSql) -> None:
    asked(worker, "CREATE VIEW seen AS SELECT id FROM orders")
    plain.write("view", "CREATE OR REPLACE VIEW seen AS SELECT id FROM orders", "SELECT pg_sleep(0.5)")
    answer = migrate(worker, plain, "rehearsal", longest_lock=0.2)
    assert "public.seen is locked for 0." in answer.answer["message"]


def test_locks_that_could_not_be_watched_speak_against_it(worker: Asked, plain: OfSql) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    plain.write("end", f"{others} AND pid <> pg_backend_pid()", ADD)
    answer = migrate(worker, plain, "rehearsal")
    assert answer.code == 1
    assert "its locks are not known, because the watch was cut off" in answer.answer["message"]


def test_a_second_branch_is_pending(worker: Asked, alembic: OfAlembic) -> None:
    first = alembic.write("first", "CREATE TABLE one (id int)", down=("DROP TABLE one",))
    left = alembic.write("left", "CREATE TABLE left_of_it (id int)", down=("DROP TABLE left_of_it",))
    assert migrate(worker, alembic).code == 0
    alembic.ids = [first]
    right = alembic.write("right", "CREATE TABLE right_of_it (id int)", down=("DROP TABLE right_of_it",))
    answer = migrate(worker, alembic)
    assert answer.code == 0, answer.answer
    assert answer.answer["applied"] == [right]
    assert left != right
    assert migrate(worker, alembic).answer["pending"] == []


def test_a_table_that_belongs_to_somebody_else_is_found(worker: Asked, plain: OfSql, postgres) -> None:
    with closing(psycopg.connect(postgres.url(worker.shop.name), autocommit=True)) as admin:
        admin.execute("CREATE TABLE theirs (id int)")
        admin.execute("GRANT SELECT ON theirs TO PUBLIC")
    plain.write("theirs", "CREATE TABLE mine (id int)", "ALTER TABLE theirs ADD COLUMN x int")
    server = Postgres(url=Secret("URL", postgres.url), database="postgres")
    answer = migrate(worker, plain, server=revealed(server))
    assert answer.code == 1
    assert "may not alter public.theirs on the real database: postgres owns it" in answer.answer["message"]
    assert asked(worker, "SELECT to_regclass('mine')") == [(None,)]


def test_what_is_set_for_the_database_is_set_for_the_copy(worker: Asked, plain: OfSql, postgres) -> None:
    asked(worker, "CREATE SCHEMA app")
    with closing(psycopg.connect(postgres.url(), autocommit=True)) as admin:
        name = sql.Identifier(worker.shop.name)
        admin.execute(sql.SQL("ALTER DATABASE {} SET search_path = app, public").format(name))
    plain.write("new", "CREATE TABLE invoices (id int)", down=("DROP TABLE invoices",))
    answer = migrate(worker, plain)
    assert answer.code == 0, answer.answer
    assert answer.answer["rehearsal"]["schema"] == [
        "+ column app.invoices.id", "+ table app.invoices",
    ]  # fmt: skip
    assert asked(worker, "SELECT to_regclass('app.invoices') IS NOT NULL") == [(True,)]


def test_options_that_the_application_gives_to_its_connections_are_kept(worker: Asked, alembic: OfAlembic) -> None:
    asked(worker, "CREATE SCHEMA app")
    env = alembic.place / "migrations" / "env.py"
    options = "create_engine(url, connect_args={'options': '-csearch_path=app'})"
    env.write_text(env.read_text().replace("create_engine(url)", options))
    alembic.write("new", "CREATE TABLE invoices (id int)", down=("DROP TABLE invoices",))
    answer = migrate(worker, alembic, table="app.alembic_version")
    assert answer.code == 0, answer.answer
    assert asked(worker, "SELECT to_regclass('app.invoices') IS NOT NULL, to_regclass('public.invoices')") == [
        (True, None)
    ]


def test_ctrl_c_ends_it_in_the_server_as_well_and_says_what_is_so(worker: Asked, plain: OfSql) -> None:
    plain.write("first", "CREATE TABLE first (id int)")
    plain.write("slow", "SELECT pg_sleep(0.1)", "UPDATE orders SET note = note WHERE slow(id)")
    seconds = "CASE current_database() ~ 'rehearsal' WHEN true THEN 0 ELSE 1 END"
    body = f"$$ SELECT pg_sleep({seconds})::text = '' $$"
    asked(worker, f"CREATE FUNCTION slow(bigint) RETURNS bool LANGUAGE sql AS {body}")
    run = worker.start("migrate", migrations=plain.description, until="proof")
    active = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{worker.shop.name}' AND query LIKE 'UPDATE orders%'"
    deadline = time.monotonic() + 60
    while not asked(worker, f"{active} AND application_name <> ''"):
        assert time.monotonic() < deadline and run.poll() is None, worker.finish(run)
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    answer = worker.finish(run)
    assert answer.code == 1
    assert "it was interrupted" in answer.answer["message"]
    assert "Applied: 0001_first. Not applied: 0002_slow" in answer.answer["message"]
    assert not asked(worker, f"{active} AND state = 'active' AND application_name LIKE 'pyinfra-ops%'")


def test_an_index_that_was_invalid_before_is_not_blamed_on_it(worker: Asked, plain: OfSql) -> None:
    asked(worker, "UPDATE orders SET note = 'twice'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        asked(worker, "CREATE UNIQUE INDEX CONCURRENTLY old_one ON orders (note)")
    plain.write("add", ADD)
    with psycopg.connect(worker.shop.url) as blocker:
        blocker.execute("SELECT count(*) FROM orders")
        answer = migrate(worker, plain, lock_timeout=0.3, tries=1)
        blocker.rollback()
    assert "old_one" not in answer.answer["message"] + answer.answer["hint"]
    assert answer.answer["hint"].startswith("End what blocks it")


def test_a_statement_that_takes_too_long_does_so_in_the_rehearsal(worker: Asked, plain: OfSql) -> None:
    plain.write("slow", ADD, "SELECT pg_sleep(2)", outside=True)
    answer = migrate(worker, plain, statement_timeout=0.5)
    assert "in the rehearsal" in answer.answer["message"]
    assert "canceling statement due to statement timeout" in answer.answer["message"]
    assert "x" not in columns(worker)


def test_rows_that_a_migration_reads_are_in_no_report(worker: Asked, plain: OfSql) -> None:
    plain.write("look", "SELECT email,\n       name\n  FROM customers -- who is there?\n  LIMIT 3", ADD)
    (email,) = asked(worker, "SELECT email FROM customers LIMIT 1")[0]
    answer = migrate(worker, plain, "rehearsal")
    texts = [one["text"] for one in answer.answer["rehearsal"]["statements"]]
    assert texts[0].startswith("SELECT email,\n       name\n  FROM customers")
    assert email not in str(answer.answer)


def test_a_thousand_statements_make_a_report_that_can_be_read(worker: Asked, plain: OfSql) -> None:
    plain.write("many", *[f"INSERT INTO categories (name) VALUES ('{n}')" for n in range(1000)])
    rehearsal = migrate(worker, plain, "rehearsal").answer["rehearsal"]
    assert len(rehearsal["statements"]) == 50
    assert rehearsal["more_statements"] == 950
    (before, after) = rehearsal["rows"]["public.categories"]
    assert after == before + 1000


def test_dbmates_own_spelling_is_read(worker: Asked, shop: Shop, place: Path) -> None:
    dbmate = OfDbmate(place, shop.url)
    asked(worker, "CREATE TABLE doomed (id int)")
    (place / "20260101000000_drop.sql").write_text("--migrate:up\nDROP TABLE doomed;\n--migrate:down\nSELECT 1;\n")
    answer = migrate(worker, dbmate, lint_fails=["ban-drop-table"])
    assert answer.code == 1
    assert "ban-drop-table" in answer.answer["message"]
    (place / "20260101000000_drop.sql").write_text("DROP TABLE doomed;\n")
    assert "has no line that says -- migrate:up" in migrate(worker, dbmate).answer["message"]


def test_one_that_comes_before_an_applied_one_has_no_way_back(worker: Asked, shop: Shop, place: Path) -> None:
    dbmate = OfDbmate(place, shop.url)
    dbmate.ids = ["something"]
    later = dbmate.write("later", "CREATE TABLE later (id int)", down=("DROP TABLE later",))
    assert migrate(worker, dbmate).code == 0
    dbmate.ids = []
    early = dbmate.write("early", "CREATE TABLE early (id int)", down=("DROP TABLE early",))
    answer = migrate(worker, dbmate)
    assert answer.code == 0, answer.answer
    assert answer.answer["rehearsal"]["one_way"] == [early] and early < later


def test_a_backup_from_before_the_last_migration_is_not_rehearsed_on(worker: Asked, plain: OfSql) -> None:
    plain.write("rows", "UPDATE orders SET note = 'first'")
    with closing(psycopg.connect(worker.shop.url)):  # so that no clone can be made
        assert migrate(worker, plain, restore_point="1d").code == 0
        plain.write("more", "UPDATE orders SET note = 'second'")
        answer = migrate(worker, plain, restore_point="1d")
        assert answer.code == 0, answer.answer
        plain.write("third", "UPDATE orders SET note = 'third'")
        answer = migrate(worker, plain, restore_point="1d")
    assert answer.code == 0, answer.answer
    assert any("is from before the last migration: a new one is taken" in line for line in answer.progress)


def test_a_table_whose_name_holds_that_of_the_ledger_is_not_the_ledger(worker: Asked, plain: OfSql) -> None:
    plain.write(
        "half", "CREATE TABLE audit_log_entries (id int)", "SELECT 1 / (SELECT count(*) FROM gate)", outside=True
    )
    asked(worker, "CREATE TABLE gate AS SELECT 1 AS id")
    done = threading.Event()

    def spoil() -> None:
        while not done.is_set() and not asked(worker, "SELECT 1 FROM pg_database WHERE datname LIKE 'ops_rehearsal_%'"):
            time.sleep(0.01)
        time.sleep(0.1)
        asked(worker, "DELETE FROM gate")

    spoiling = threading.Thread(target=spoil)
    spoiling.start()
    answer = migrate(worker, plain, table="log")
    done.set()
    spoiling.join()
    assert answer.code == 1
    assert "division by zero" in answer.answer["message"]
    assert "0001_half is half done" in answer.answer["message"]
    assert "DELETE FROM log WHERE id = '0001_half'" in answer.answer["hint"]
