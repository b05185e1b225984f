"""The gate before production: what it finds, what it measures, and what it leaves behind."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from applications import OfAlembic, OfSql
from asked import Asked
from psycopg import sql
from questions import execute, rehearsals

from ops.operations.migration_report import markdown, table
from ops.sandbox.shop import Shop

pytestmark = pytest.mark.slow


def migrate(worker: Asked, application, until: str = "proof", **more):
    return worker.ask("migrate", migrations={**application.description, **more}, until=until)


def contents(worker: Asked) -> str:
    """Schema and data, byte for byte, as pg_dump writes them."""
    from ops.worker import tools

    dump = tools.psql(None).beside("pg_dump").path
    printed = subprocess.run([dump, "--inserts", worker.shop.url], capture_output=True, check=True).stdout
    lines = [line for line in printed.splitlines() if not line.startswith((b"\\restrict", b"\\unrestrict", b"--"))]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def test_an_index_that_exists_already_is_found_before_production(worker: Asked, alembic: OfAlembic) -> None:
    """Scenario 0.1: production had it by hand, no other environment did."""
    execute(worker, "CREATE INDEX ix_orders_customer ON orders (customer_id)")
    wrong = alembic.write("index", "CREATE INDEX ix_orders_customer ON orders (customer_id)",
                          down=("DROP INDEX ix_orders_customer",))  # fmt: skip
    before = contents(worker)
    answer = migrate(worker, alembic)
    assert answer.code == 1
    assert answer.answer["message"] == (
        f'in the rehearsal the migration {wrong} failed: relation "ix_orders_customer" already exists, '
        "in: CREATE INDEX ix_orders_customer ON orders (customer_id)"
    )
    assert contents(worker) == before
    alembic.forget()
    alembic.write("index", "CREATE INDEX IF NOT EXISTS ix_orders_customer ON orders (customer_id)")
    assert migrate(worker, alembic).code == 0


def test_a_type_that_a_default_still_uses_is_found_before_production(worker: Asked, alembic: OfAlembic) -> None:
    """Scenario 0.2: the statements were right one by one, and no linter can see it."""
    execute(
        worker,
        "CREATE TYPE workliststatus AS ENUM ('open', 'done')",
        "CREATE TABLE worklist (id int PRIMARY KEY, status workliststatus NOT NULL DEFAULT 'open')",
        "INSERT INTO worklist VALUES (1, 'open'), (2, 'done')",
    )
    to_text = "ALTER TABLE worklist ALTER COLUMN status TYPE text USING status::text"
    wrong = alembic.write("status", to_text, "DROP TYPE workliststatus")
    before = contents(worker)
    answer = migrate(worker, alembic)
    assert answer.code == 1
    assert (
        f"the migration {wrong} failed: cannot drop type workliststatus because other objects depend on it"
        in (answer.answer["message"])
    )
    assert "in: DROP TYPE workliststatus" in answer.answer["message"]
    assert contents(worker) == before
    alembic.forget()
    anew = "ALTER TABLE worklist ALTER COLUMN status SET DEFAULT 'open'"
    alembic.write(
        "status", "ALTER TABLE worklist ALTER COLUMN status DROP DEFAULT", to_text, anew, "DROP TYPE workliststatus"
    )
    answer = migrate(worker, alembic)
    assert answer.code == 0, answer.answer


def test_the_rehearsal_predicts_the_lock_that_a_rewrite_takes(worker: Asked, plain: OfSql) -> None:
    execute(
        worker,
        "CREATE TABLE big (id int, text text)",
        "INSERT INTO big SELECT n, repeat('x', 200) FROM generate_series(1, 400000) n",
        "CREATE INDEX ON big (id)",
        "VACUUM ANALYZE big",
    )
    plain.write("rewrite", "ALTER TABLE big ALTER COLUMN id TYPE bigint", "UPDATE orders SET note = note WHERE id < 10")
    answer = migrate(worker, plain, "rehearsal")
    assert answer.code == 0, answer.answer
    rehearsal = answer.answer["rehearsal"]
    assert rehearsal["copy"].startswith("a clone of")
    held = next(lock for lock in rehearsal["locks"] if lock["table"] == "public.big")
    assert held["mode"] == "AccessExclusiveLock"
    assert rehearsal["rewritten"] == ["big"]
    rewrite = rehearsal["statements"][0]
    assert rewrite["text"].startswith("ALTER TABLE big")
    assert held["seconds"] == pytest.approx(rewrite["seconds"], rel=0.5, abs=0.1)
    waited: list[float] = []

    def ask() -> None:
        # A statement that was prepared fails when a column's type changes.
        with closing(psycopg.connect(worker.shop.url, autocommit=True, prepare_threshold=None)) as connection:
            while not over.is_set():
                began = time.monotonic()
                connection.execute("SELECT id FROM big LIMIT 1")
                waited.append(time.monotonic() - began)

    over = threading.Event()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        applied = migrate(worker, plain)
    finally:
        over.set()
        asking.join()
    assert applied.code == 0, applied.answer
    held = next(lock for lock in applied.answer["rehearsal"]["locks"] if lock["table"] == "public.big")
    print(f"rehearsed {held['seconds']:.2f} s, production was locked for {max(waited):.2f} s")
    # Within a factor of two on a machine that has nothing else to do; here others share it.
    assert held["seconds"] / 4 < max(waited) < held["seconds"] * 4 + 0.5
    assert rehearsal["rows"] == {}


def test_a_lock_that_is_held_for_longer_than_allowed_fails_the_rehearsal(worker: Asked, plain: OfSql) -> None:
    plain.write("slow", "ALTER TABLE orders ADD COLUMN x int", "SELECT pg_sleep(0.5)")
    before = contents(worker)
    answer = migrate(worker, plain, longest_lock=0.2)
    assert answer.code == 1
    assert "public.orders is locked for 0." in answer.answer["message"]
    assert "AccessExclusiveLock in 0001_slow; 0.2 s are allowed" in answer.answer["message"]
    assert contents(worker) == before
    assert migrate(worker, plain, longest_lock=0.2, strongest_lock="AccessExclusiveLock").code == 0


def test_who_holds_the_lock_is_named_and_production_is_left_as_it_is(worker: Asked, plain: OfSql) -> None:
    plain.write("add", "ALTER TABLE orders ADD COLUMN x int", down=("ALTER TABLE orders DROP COLUMN x",))
    before = contents(worker)
    with psycopg.connect(worker.shop.url, application_name="a report") as blocker:
        blocker.execute("SELECT count(*) FROM orders")
        answer = migrate(worker, plain, lock_timeout=0.5, tries=2)
        blocker.rollback()
    assert answer.code == 1
    message = answer.answer["message"]
    assert "canceling statement due to lock timeout" in message
    assert "a report" in message and "SELECT count(*) FROM orders" in message
    assert "The real database has the schema that it had before" in message
    assert any("again in 2 s" in line for line in answer.progress)
    execute(worker, "DROP TABLE ops_migrations")
    assert contents(worker) == before


def test_the_engine_is_never_let_near_the_real_database_in_a_rehearsal(
    worker: Asked, alembic: OfAlembic, postgres, tmp_path: Path
) -> None:
    """The application's own settings name it, in a file; the server's log tells who asked what of it."""
    alembic.write("add", "ALTER TABLE orders ADD COLUMN x int", down=("ALTER TABLE orders DROP COLUMN x",))
    with closing(psycopg.connect(postgres.url(), autocommit=True)) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(sql.Identifier(worker.shop.name)))
        admin.execute("ALTER SYSTEM SET log_line_prefix = '%d '")
        admin.execute("SELECT pg_reload_conf()")
        try:
            time.sleep(0.3)
            size = postgres.log.stat().st_size
            assert migrate(worker, alembic, "rehearsal").code == 0
            said = postgres.log.read_text()[size:]
        finally:
            admin.execute("ALTER SYSTEM RESET log_line_prefix")
            admin.execute("SELECT pg_reload_conf()")
    ours = [line for line in said.splitlines() if line.startswith(f"{worker.shop.name} ")]
    assert any("SELECT" in line for line in ours), "the log tells nothing"
    assert not [
        line for line in ours if "ADD COLUMN" in line or "alembic_version SET" in line or "INTO alembic" in line
    ]
    assert not [line for line in ours if "CREATE TABLE alembic_version" in line]


@pytest.mark.slow
def test_what_a_killed_rehearsal_leaves_is_swept_away_by_the_next(worker: Asked, plain: OfSql) -> None:
    plain.write("slow", "ALTER TABLE orders ADD COLUMN x int", "SELECT pg_sleep(3)")
    run = worker.start("migrate", migrations=plain.description, until="rehearsal")
    deadline = time.monotonic() + 30
    while not rehearsals(worker):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.7)
    run.kill()
    run.wait()
    assert rehearsals(worker)
    answer = migrate(worker, plain, "rehearsal")
    assert answer.code == 0, answer.answer
    assert not rehearsals(worker)


def test_a_way_back_that_leads_elsewhere_is_found(worker: Asked, plain: OfSql) -> None:
    plain.write("add", "ALTER TABLE orders ADD COLUMN x int", down=("SELECT 1",))
    answer = migrate(worker, plain)
    assert answer.code == 1
    assert (
        "the way back leads elsewhere: column public.orders.x is not in the schema before" in answer.answer["message"]
    )


def test_a_rule_that_is_to_fail_does_and_others_are_told(worker: Asked, plain: OfSql) -> None:
    plain.write("index", "-- a remark\nCREATE INDEX slow ON orders (note)")
    told = migrate(worker, plain, "status")
    assert told.code == 0
    (finding,) = [one for one in told.answer["lint"] if one["rule"] == "require-concurrent-index-creation"]
    assert finding["file"].endswith("0001_index.sql") and finding["line"] == 2 and finding["help"]
    assert migrate(worker, plain, "status", lint_off=["require-concurrent-index-creation"]).code == 0
    answer = migrate(worker, plain, lint_fails=["require-concurrent-index-creation"])
    assert answer.code == 1
    assert "0001_index.sql line 2, require-concurrent-index-creation" in answer.answer["message"]


def test_a_changed_file_and_one_that_was_left_half_done_are_refused(worker: Asked, plain: OfSql) -> None:
    plain.write("add", "ALTER TABLE orders ADD COLUMN x int")
    assert migrate(worker, plain).code == 0
    file = plain.place / "0001_add.sql"
    file.write_text(file.read_text() + "-- changed\n")
    answer = migrate(worker, plain)
    assert "0001_add was changed after it was applied" in answer.answer["message"]
    execute(worker, "UPDATE ops_migrations SET finished = NULL")
    assert "0001_add was begun before and not finished" in migrate(worker, plain).answer["message"]


def test_an_index_left_invalid_comes_with_the_command_to_type(worker: Asked, plain: OfSql) -> None:
    """Production has what the restore point does not: the copy could not know."""
    plain.write("unique", "CREATE UNIQUE INDEX CONCURRENTLY one_note ON orders (note)", outside=True)
    execute(worker, "UPDATE orders SET note = id::text")
    done = threading.Event()

    def spoil() -> None:
        while not done.is_set():
            if rehearsals(worker):
                execute(worker, "UPDATE orders SET note = 'twice' WHERE id IN (SELECT id FROM orders LIMIT 2)")
                return
            time.sleep(0.01)

    spoiling = threading.Thread(target=spoil)
    spoiling.start()
    answer = migrate(worker, plain)
    done.set()
    spoiling.join()
    assert answer.code == 1
    assert "could not create unique index" in answer.answer["message"]
    assert "DROP INDEX CONCURRENTLY one_note;" in answer.answer["hint"]
    assert "It left an invalid index: one_note" in answer.answer["message"]


def test_nothing_pending_costs_little(worker: Asked, alembic: OfAlembic) -> None:
    alembic.write("add", "ALTER TABLE orders ADD COLUMN x int")
    assert migrate(worker, alembic).code == 0
    began = time.monotonic()
    assert migrate(worker, alembic).answer["changed"] is False
    took = time.monotonic() - began
    print(f"nothing pending: {took:.2f} s")
    assert took < 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"SELECT 1;\n\\connect postgres\n", "0001_odd.sql line 2 is a command of psql"),
        (
            b"BEGIN;\nALTER TABLE orders ADD COLUMN x int;\nCOMMIT;\n",
            "0001_odd.sql line 1 begins or ends a transaction",
        ),
        (b"SELECT 'caf\xe9';\n", "0001_odd.sql is no text in UTF-8"),
    ],
)
def test_a_file_that_would_not_do_what_it_seems_to_is_refused(
    worker: Asked, plain: OfSql, text: bytes, said: str
) -> None:
    (plain.place / "0001_odd.sql").write_bytes(text)
    answer = migrate(worker, plain)
    assert answer.code == 1
    assert said in answer.answer["message"]


def test_a_function_has_its_own_begin_and_end(worker: Asked, plain: OfSql) -> None:
    body = "CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql AS $body$\nBEGIN\n  RETURN 1;\nEND;\n$body$"
    plain.write("function", body, "COPY orders (id) FROM stdin;\n\\.\n\nSELECT 1", down=("DROP FUNCTION one()",))
    answer = migrate(worker, plain)
    assert answer.code == 0, answer.answer


def test_a_schema_alone_can_be_rehearsed_on_and_that_is_said(worker: Asked, shop: Shop, plain: OfSql) -> None:
    first = plain.write("first", "CREATE TABLE new (id int)")
    assert migrate(worker, plain).code == 0
    plain.write("second", "ALTER TABLE new ADD COLUMN x int", down=("ALTER TABLE new DROP COLUMN x",))
    answer = migrate(worker, plain, "rehearsal", rehearse_on="schema")
    assert answer.code == 0, answer.answer
    rehearsal = answer.answer["rehearsal"]
    assert rehearsal["copy"] == f"the schema of {shop.name} alone, without its rows"
    assert rehearsal["has_rows"] is False
    assert rehearsal["reversed"] == ["0002_second"]
    assert "WITHOUT ROWS" in table(answer.answer)
    assert "WITHOUT ROWS" in markdown("test", answer.answer)
    assert answer.answer["current"] == first
    assert not rehearsals(worker)
    assert migrate(worker, plain, rehearse_on="schema").code == 0


def test_a_role_that_may_not_write_down_what_it_applied_is_found_first(worker, shop, plain, postgres) -> None:
    plain.write("first", "CREATE TABLE new (id int)")
    assert migrate(worker, plain).code == 0
    plain.write("second", "ALTER TABLE new ADD COLUMN x int")
    with closing(psycopg.connect(postgres.url(shop.name), autocommit=True)) as admin:
        admin.execute("ALTER TABLE ops_migrations OWNER TO CURRENT_USER")
        admin.execute(sql.SQL("GRANT SELECT ON ops_migrations TO {}").format(sql.Identifier(shop.user)))
    answer = migrate(worker, plain)
    assert f'{shop.user} may not write to "ops_migrations"' in answer.answer["message"]
    assert "restore_point" not in answer.answer
