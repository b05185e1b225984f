"""What goes wrong on the way back, between a rehearsal and production."""

from __future__ import annotations

import signal
import time

import psycopg
import pytest
from applications import OfSql
from asked import Asked
from questions import columns, execute, rehearsals
from there_and_back import ADD, DROP, migrate, revert

from ops.worker.gate import Gate

pytestmark = pytest.mark.slow

SLOW = "SELECT pg_sleep(CASE current_database() ~ 'rehearsal' WHEN {} THEN 3 ELSE 0 END)"


def test_who_holds_the_lock_is_named_and_nothing_is_undone(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, down=(DROP,))
    plain.write("new", "CREATE TABLE new (id int)", down=("DROP TABLE new",))
    migrate(worker, plain)
    with psycopg.connect(worker.shop.url, application_name="a report") as blocker:
        blocker.execute("SELECT count(*) FROM orders")
        answer = revert(worker, plain, None, lock_timeout=0.5, tries=2)
        blocker.rollback()
    assert answer.code == 1
    message = answer.answer["message"]
    assert "lock timeout" in message and "a report" in message
    assert "Undone: 0002_new. Not undone: 0001_add" in message
    assert answer.answer["hint"] == "What was undone stays. Mend the way back of 0001_add, then run this again"
    assert any("again in 2 s" in line for line in answer.progress)
    done = revert(worker, plain, None)
    assert (done.code, done.answer["undone"]) == (0, ["0001_add"]), done.answer


@pytest.mark.slow
def test_a_way_back_outside_of_a_transaction_is_not_begun_again(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, "CREATE TABLE new (id int)", down=("DROP TABLE new", DROP))
    down = plain.place / "0001_add.down.sql"
    down.write_text("-- transaction: none\n" + down.read_text())
    migrate(worker, plain)
    with psycopg.connect(worker.shop.url) as blocker:
        blocker.execute("SELECT count(*) FROM orders")
        answer = revert(worker, plain, None, lock_timeout=0.3, tries=3)
        blocker.rollback()
    assert "0001_add is half undone" in answer.answer["message"]
    assert answer.answer["hint"] == "Put back by hand what it took away, then run this again"
    assert not any("again in" in line for line in answer.progress)


def test_a_way_back_that_changes_once_it_was_rehearsed_is_not_gone(
    worker: Asked, plain: OfSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.write("add", ADD, down=(DROP,))
    migrate(worker, plain)
    rehearsed = Gate._apply

    def late(*given):
        (plain.place / "0001_add.down.sql").write_text("DROP TABLE orders CASCADE;\n")
        return rehearsed(*given)

    monkeypatch.setattr(Gate, "_apply", late)
    answer = revert(worker, plain, None)
    assert "the migrations to be undone changed since they were rehearsed" in answer.answer["message"]
    assert "noted" in columns(worker)


def test_a_way_back_that_changes_the_whole_server_is_not_rehearsed_beside_it(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, down=(DROP, "CREATE ROLE nobody_at_all"))
    (plain.place / "0001_add.down.sql").rename(plain.place / "kept")
    migrate(worker, plain)
    (plain.place / "kept").rename(plain.place / "0001_add.down.sql")
    answer = revert(worker, plain, None)
    assert "0001_add has CREATE ROLE, which changes the whole server" in answer.answer["message"]
    assert execute(worker, "SELECT count(*) FROM pg_roles WHERE rolname = 'nobody_at_all'") == [(0,)]


@pytest.mark.slow
def test_what_a_killed_rehearsal_leaves_is_swept_away_and_nothing_is_undone(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, down=(DROP, SLOW.format("true")))
    migrate(worker, plain, longest_lock=60)
    asked = {"migrations": {**plain.description, "longest_lock": 60}, "until": "proof"}
    run = worker.start("revert", **asked)
    deadline = time.monotonic() + 60
    while not rehearsals(worker):
        assert time.monotonic() < deadline and run.poll() is None, worker.finish(run)
        time.sleep(0.02)
    time.sleep(0.7)
    run.kill()
    run.wait()
    assert "noted" in columns(worker)
    assert rehearsals(worker)
    again = worker.ask("revert", **asked)
    assert again.code == 0, again.answer
    assert "noted" not in columns(worker)
    assert not rehearsals(worker)


@pytest.mark.slow
def test_ctrl_c_ends_it_in_the_server_as_well_and_says_what_is_so(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, down=(DROP, SLOW.format("false").replace("THEN 3", "THEN 30")))
    plain.write("new", "CREATE TABLE new (id int)", down=("DROP TABLE new",))
    (plain.place / "0001_add.down.sql").rename(plain.place / "kept")
    migrate(worker, plain)
    (plain.place / "kept").rename(plain.place / "0001_add.down.sql")
    run = worker.start("revert", migrations=plain.description, until="proof")
    busy = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{worker.shop.name}' AND query LIKE 'SELECT pg_sleep%'"
    busy += " AND pid <> pg_backend_pid() AND state = 'active'"
    deadline = time.monotonic() + 60
    while not execute(worker, busy):
        assert time.monotonic() < deadline and run.poll() is None, worker.finish(run)
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    answer = worker.finish(run)
    assert answer.code == 1
    assert "it was interrupted" in answer.answer["message"]
    assert "Undone: 0002_new. Not undone: 0001_add" in answer.answer["message"]
    assert not execute(worker, busy)
    assert "noted" in columns(worker)


@pytest.mark.slow
def test_one_who_migrates_keeps_one_who_reverts_out(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, down=(DROP,))
    migrate(worker, plain)
    plain.write("slow", "SELECT pg_sleep(2)")
    run = worker.start("migrate", migrations=plain.description, until="proof")
    deadline = time.monotonic() + 60
    while not rehearsals(worker):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    answer = revert(worker, plain, "base")
    assert "holds the lock" in answer.answer["message"]
    assert worker.finish(run).code == 0
    assert "noted" in columns(worker)
