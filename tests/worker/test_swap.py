"""A restore beside the database and the swap: what is lost is what was said, and one of the two always serves."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import psycopg
import pytest
from asked import Asked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from ops import S3
from ops.sandbox.shop import Shop
from ops.worker import loss

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(shop: Shop, store_s3: S3) -> Asked:
    """The worker, with a small shop and one proven backup."""
    worker = Asked(shop, store_s3)
    assert worker.ask("dump").code == 0
    assert worker.ask("drill").code == 0
    return worker


@pytest.fixture
def admin(postgres) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(postgres.url(), autocommit=True)) as connection:
        yield connection


def execute(worker: Asked, *statements: str) -> None:
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        for statement in statements:
            connection.execute(statement)


def one(worker: Asked, query: str):
    with closing(psycopg.connect(worker.shop.url)) as connection:
        return connection.execute(query).fetchone()[0]


def beside(admin: psycopg.Connection, worker: Asked) -> list[str]:
    query = "SELECT datname FROM pg_database WHERE datname LIKE %s ORDER BY datname"
    return [name.removeprefix(worker.shop.name) for (name,) in admin.execute(query, [f"{worker.shop.name}\\_%"])]


def swapped(worker: Asked, **more) -> dict:
    restored = worker.ask("beside", **more)
    assert restored.code == 0, restored.answer
    answer = worker.ask("swap")
    assert answer.code == 0, answer.answer
    return answer.answer


def test_what_was_written_since_is_lost_and_kept_and_comes_back(worker: Asked, admin) -> None:
    before = one(worker, "SELECT count(*) FROM orders")
    execute(worker, "DELETE FROM order_items WHERE order_id < 100", "CREATE TABLE later AS SELECT 1 AS x")
    execute(worker, "INSERT INTO events (at, kind, payload) SELECT now(), 'new', '{}' FROM generate_series(1, 7)")
    answer = swapped(worker)
    assert one(worker, "SELECT count(*) FROM orders") == before
    assert one(worker, "SELECT to_regclass('later') IS NULL")
    with closing(psycopg.connect(worker.shop.url.replace(worker.shop.name, answer["kept"]))) as kept:
        assert kept.execute("SELECT x FROM later").fetchone() == (1,)
    undone = worker.ask("swap", undo=True)
    assert undone.answer["changed"], undone.answer
    assert one(worker, "SELECT x FROM later") == 1
    assert worker.ask("swap", undo=True).answer == {"changed": False}
    assert [name.split("_")[1] for name in beside(admin, worker)] == ["undone"]


def test_a_second_restore_after_an_undo_can_be_undone_again(worker: Asked) -> None:
    execute(worker, "CREATE TABLE later (x int)")
    swapped(worker)
    assert worker.ask("swap", undo=True).answer["changed"]
    swapped(worker)
    assert one(worker, "SELECT to_regclass('later') IS NULL")
    assert worker.ask("swap", undo=True).answer["changed"]
    assert one(worker, "SELECT to_regclass('later') IS NOT NULL")


WHOLE = """
    SELECT datdba::regrole::text, datconnlimit, datacl::text,
           (SELECT array_agg(setrole::regrole::text || setconfig::text ORDER BY setrole)
              FROM pg_db_role_setting WHERE setdatabase = d.oid AND setrole <> 0)
      FROM pg_database d WHERE datname = %s
"""


def test_what_belongs_to_the_database_as_a_whole_survives(worker: Asked, admin, postgres) -> None:
    """Restored as a superuser, who alone may carry all of it over."""
    name, role = worker.shop.name, f"reader_{worker.shop.name}"
    as_admin = {"database": {"url": postgres.url(name), "sslmode": "disable"}}

    def type(text: str) -> None:
        admin.execute(sql.SQL(text).format(db=sql.Identifier(name), role=sql.Identifier(role)))

    type("CREATE ROLE {role}")
    try:
        type("REVOKE ALL ON DATABASE {db} FROM PUBLIC")
        type("GRANT CONNECT ON DATABASE {db} TO {role} WITH GRANT OPTION")
        type("ALTER DATABASE {db} SET search_path = \"$user\", 'Odd, name', public")
        type("ALTER DATABASE {db} SET work_mem = '12MB'")
        type("ALTER ROLE {role} IN DATABASE {db} SET application_name = 'it''s a reader'")
        type("ALTER DATABASE {db} CONNECTION LIMIT 77")
        with closing(psycopg.connect(postgres.url(name), autocommit=True)) as inside:
            inside.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            inside.execute("CREATE PUBLICATION mine FOR TABLE public.orders")
            inside.execute(sql.SQL("GRANT SELECT ON public.orders TO {}").format(sql.Identifier(role)))
        assert worker.ask("dump", **as_admin).code == 0
        assert worker.ask("drill", **as_admin, server=as_admin["database"]).code == 0
        before = admin.execute(WHOLE, [name]).fetchone()
        restored = worker.ask("beside", **as_admin)
        assert restored.code == 0, restored.answer
        assert restored.answer["not_carried_over"] == []
        assert worker.ask("swap", **as_admin).code == 0
        assert admin.execute(WHOLE, [name]).fetchone() == before
        with closing(psycopg.connect(postgres.url(name))) as inside:
            assert inside.execute("SHOW search_path").fetchone() == ('"$user", "Odd, name", public',)
            assert inside.execute("SHOW work_mem").fetchone() == ("12MB",)
            assert inside.execute("SELECT pubname FROM pg_publication").fetchall() == [("mine",)]
            assert inside.execute("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'").fetchone() == (1,)
            query = "SELECT has_table_privilege(%s, 'public.orders', 'SELECT')"
            assert inside.execute(query, [role]).fetchone() == (True,)
    finally:
        for (each,) in admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [name]):
            with closing(psycopg.connect(postgres.url(each), autocommit=True)) as inside:
                inside.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        type("DROP ROLE {role}")


def test_readers_and_writers_notice_it_for_less_than_a_second(worker: Asked) -> None:
    """Each on its own connection, which it makes anew when it breaks, as every pool does."""
    assert worker.ask("beside").code == 0
    over = threading.Event()
    gaps: list[float] = []
    errors: list[str] = []

    def at_work(statement: str) -> None:
        last, longest, connection = time.monotonic(), 0.0, None
        while not over.is_set():
            try:
                connection = connection or psycopg.connect(worker.shop.url, autocommit=True)
                connection.execute(statement)
                now = time.monotonic()
                longest, last = max(longest, now - last), now
            except psycopg.Error as error:
                errors.append(str(error))
                connection = None
        if connection:
            connection.close()
        gaps.append(longest)

    write = "INSERT INTO events (at, kind, payload) VALUES (now(), 'under load', '{}')"
    workers = [threading.Thread(target=at_work, args=(one,)) for one in 3 * [write, "SELECT count(*) FROM customers"]]
    for each in workers:
        each.start()
    time.sleep(0.5)
    answer = worker.ask("swap")
    time.sleep(0.5)
    over.set()
    for each in workers:
        each.join()
    assert answer.code == 0, answer.answer
    assert errors
    print(f"window {answer.answer['window']} s, longest gap {max(gaps):.3f} s, {len(errors)} errors")
    assert max(gaps) <= 3  # the figure itself is the benchmark's


SOME = st.lists(
    st.sampled_from(
        [
            "INSERT INTO events (at, kind, payload) SELECT now(), 'x', '{}' FROM generate_series(1, 3)",
            "DELETE FROM events WHERE (at, id) IN (SELECT at, id FROM events ORDER BY random() LIMIT 5)",
            "DELETE FROM order_items WHERE order_id IN (SELECT id FROM orders ORDER BY random() LIMIT 2)",
            "UPDATE customers SET name = name",
            "CREATE TABLE IF NOT EXISTS later AS SELECT generate_series(1, 4) AS x",
            "DROP TABLE IF EXISTS later",
            "INSERT INTO customers (name, email) VALUES ('n', gen_random_uuid()::text || '@example.com')",
        ]
    ),
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=SOME)
def test_what_is_lost_is_what_was_said(worker: Asked, writes: list[str]) -> None:
    execute(worker, *writes)
    said = worker.ask("loss")
    assert said.code == 0, said.answer
    kept = swapped(worker)["kept"]
    tables = said.answer["tables"]
    told = {table["table"]: (table["now"], table["then"]) for table in tables if table["now"] != table["then"]}
    truly = {}
    with (
        closing(psycopg.connect(worker.shop.url)) as new,
        closing(psycopg.connect(worker.shop.url.replace(worker.shop.name, kept))) as old,
    ):
        query = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        names = {name for at in (old, new) for (name,) in at.execute(query)}
        for name in names:
            rows = []
            for at in (old, new):
                there = at.execute("SELECT to_regclass(%s)", [name]).fetchone()[0]
                rows.append(
                    at.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()[0]
                    if there
                    else None
                )
            if rows[0] != rows[1]:
                truly[f"public.{name}"] = tuple(rows)
    assert told == truly
    assert worker.ask("swap", undo=True).answer["changed"]


@pytest.mark.slow
def test_killed_at_any_moment_one_of_the_two_serves_and_typed_again_it_ends_well(worker: Asked, admin) -> None:
    execute(worker, "CREATE TABLE later (x int)")
    random.seed(1)
    began = time.monotonic()
    for verb in ("beside", "swap"):
        assert worker.finish(worker.start(verb)).code == 0
    whole = time.monotonic() - began
    assert worker.finish(worker.start("swap", undo=True)).answer["changed"]
    for moment in range(20):
        process = worker.start("beside" if moment % 2 else "swap")
        time.sleep(random.uniform(0, whole / 2))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert one(worker, "SELECT count(*) FROM orders") > 0
    answer = worker.ask("beside")
    assert answer.code == 0, answer.answer
    assert worker.ask("swap").code == 0
    assert one(worker, "SELECT count(*) FROM orders") > 0


def test_rows_that_were_replaced_by_as_many_are_not_passed_over(worker: Asked) -> None:
    execute(
        worker,
        "CREATE TABLE seen (at timestamptz)",
        "INSERT INTO seen VALUES ('-infinity'), ('infinity'), ('0044-03-15 BC'), (now())",
    )
    assert worker.ask("dump").code == 0
    assert worker.ask("drill").code == 0
    assert worker.ask("loss").answer["tables"] == []
    time.sleep(1.1)
    execute(worker, "DELETE FROM seen WHERE at = '-infinity'", "INSERT INTO seen VALUES (now())")
    (table,) = worker.ask("loss").answer["tables"]
    assert (table["table"], table["now"], table["then"]) == ("public.seen", 4, 4)
    execute(worker, "SELECT lo_from_bytea(0, 'x')", "CREATE VIEW mine AS SELECT 1 AS one")
    schema = worker.ask("loss").answer["schema"]
    assert "1 large objects, 0 in the backup" in schema
    assert any("public.mine" in one for one in schema)


def test_a_database_that_was_set_read_only_is_swapped_and_stays_so(worker: Asked, admin) -> None:
    admin.execute(
        sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(worker.shop.name))
    )
    swapped(worker)
    assert one(worker, "SHOW default_transaction_read_only") == "on"


def test_a_comment_that_was_replaced_is_no_reason_to_say_there_is_nothing_to_undo(worker: Asked) -> None:
    kept = swapped(worker)["kept"]
    execute(worker, f"COMMENT ON DATABASE {worker.shop.name} IS 'the shop [pyinfra-ops {{odd}}]'")
    undone = worker.ask("swap", undo=True)
    assert undone.code == 1
    assert kept in undone.answer["message"]


def test_autovacuum_is_nobody_who_holds_it_open(worker: Asked, admin) -> None:
    assert worker.ask("beside").code == 0
    execute(worker, "CREATE TABLE dead AS SELECT generate_series(1, 200000) AS x", "DELETE FROM dead")
    admin.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    admin.execute("SELECT pg_reload_conf()")
    try:
        deadline = time.monotonic() + 20
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = %s"
        while admin.execute(query, [worker.shop.name]).fetchone() == (0,) and time.monotonic() < deadline:
            time.sleep(0.02)
        answer = worker.ask("swap")
    finally:
        admin.execute("ALTER SYSTEM RESET autovacuum_naptime")
        admin.execute("SELECT pg_reload_conf()")
    assert answer.code == 0, answer.answer


# What is refused, with nothing changed.


def refused(worker: Asked, verb: str, said: str, admin, **more) -> None:
    before = beside(admin, worker)
    answer = worker.ask(verb, **more)
    assert answer.code == 1
    assert said in answer.answer["message"], answer.answer
    assert beside(admin, worker) == before


def test_a_backup_that_nobody_has_proven_is_refused(worker: Asked, admin) -> None:
    execute(worker, "CREATE TABLE later (x int)")
    id = worker.ask("dump").backup["id"]
    for verb in ("loss", "beside"):
        refused(worker, verb, f"the backup {id} is not proven", admin, backup=id)


def test_a_backup_that_does_not_exist_is_refused(worker: Asked, admin) -> None:
    refused(worker, "loss", "there is no backup 2020-01-01T00-00-00Z", admin, backup="2020-01-01T00-00-00Z")


def test_nothing_restored_is_nothing_to_swap_in(worker: Asked, admin) -> None:
    refused(worker, "swap", "there is no restored database", admin)


def test_somebody_elses_database_of_that_name_is_left_alone(worker: Asked, admin) -> None:
    name = f"{worker.shop.name}_restored"
    admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, worker.shop.name))))
    refused(worker, "beside", "was not made by this software", admin)


def test_a_session_that_this_role_may_not_end_is_named_first(worker: Asked, admin, postgres) -> None:
    with closing(psycopg.connect(postgres.url(worker.shop.name), application_name="the boss")):
        refused(worker, "loss", "is held open by what", admin)
        assert "(the boss)" in worker.ask("loss").answer["message"]
        assert worker.ask("beside").code == 0
        refused(worker, "swap", "is held open by what", admin)
    assert worker.ask("swap").code == 0


def test_a_role_that_may_not_make_databases_is_told_what_to_type(worker: Asked, admin) -> None:
    role = sql.Identifier(worker.shop.user)
    admin.execute(sql.SQL("ALTER ROLE {} NOCREATEDB").format(role))
    try:
        refused(worker, "loss", "may not swap", admin)
    finally:
        admin.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(role))


def test_a_disk_that_is_too_full_is_said_first(worker: Asked, admin, monkeypatch) -> None:
    if worker.ask("loss").answer["free"] is None:
        monkeypatch.setattr(loss, "_free", lambda *known: 1000)
    else:
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=1, f_frsize=1000))
    refused(worker, "loss", "the server has 0 MB free", admin)


def test_a_backup_of_the_migration_that_is_needed_is_chosen(worker: Asked, tmp_path, admin) -> None:
    migrations = {"kind": "sql", "directory": str(tmp_path)}
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (x int);")
    assert worker.ask("migrate", migrations=migrations, until="proof").code == 0
    first = worker.ask("dump", migrations=migrations).backup["id"]
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (x int);")
    assert worker.ask("migrate", migrations=migrations, until="proof").code == 0
    second = worker.ask("dump", migrations=migrations).backup["id"]
    for id in (first, second):
        assert worker.ask("drill", backup=id).code == 0
    assert worker.ask("loss").answer["backup"]["id"] == second
    assert worker.ask("loss", migration="0001_one").answer["backup"]["id"] == first
    refused(worker, "loss", f"{second} was taken at the migration 0002_two", admin, backup=second, migration="0001_one")
    refused(worker, "loss", "taken at the migration 0003_three is proven", admin, migration="0003_three")
