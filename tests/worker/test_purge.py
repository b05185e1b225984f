"""Rows of a rule are deleted in batches: as many as there are, whoever writes, and however often it is cut."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from asked import Answer, Asked
from trouble import Trouble, until

from ops.sandbox.shop import Shop
from ops.secrets import revealed

OLD = "done < now() - interval '30 days'"


@pytest.fixture
def trouble(shop: Shop) -> Iterator[Trouble]:
    found = Trouble(shop.url)
    yield found
    found.end()


@pytest.fixture
def jobs(trouble: Trouble) -> psycopg.Connection:
    """A table with 10,000 old jobs and 500 new ones."""
    session = trouble.session("batch")
    session.execute("CREATE TABLE jobs (id bigserial PRIMARY KEY, done timestamptz, what text)")
    session.execute(
        "INSERT INTO jobs (done, what) SELECT now() - interval '60 days', 'x%y' FROM generate_series(1, 10000)"
    )
    session.execute("INSERT INTO jobs (done, what) SELECT now(), 'new' FROM generate_series(1, 500)")
    return session


def treatment(where: str = OLD, table: str = "jobs", **more: Any) -> dict[str, Any]:
    return {"kind": "delete_rows", "rule": {"name": "old-jobs", "table": table, "where": where}, **more}


def purge(worker: Asked, look: bool = False, **more: Any) -> Answer:
    database = more.pop("database", revealed(worker.shop.description()))
    return worker.ask("purge", treatment=treatment(**more), look=look, database=database)


def count(session: psycopg.Connection, where: str = "true") -> int:
    row = session.execute(f"SELECT count(*) FROM jobs WHERE {where}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_ten_thousand_rows_go_in_batches_while_others_write(worker, jobs, trouble):
    writer, over = trouble.session("api"), threading.Event()
    written = [0]

    def write() -> None:
        while not over.is_set():
            writer.execute("INSERT INTO jobs (done, what) VALUES (now(), 'new')")
            writer.execute("UPDATE jobs SET what = what || '.' WHERE id % 101 = 7")
            written[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert purge(worker, look=True).answer["rows"] == 10_000
        assert count(jobs, OLD) == 10_000, "who only looks deletes nothing"
        deleted = 0
        while answer := purge(worker, batch=500).answer:
            deleted += answer["deleted"]
            if not answer["left"]:
                break
    finally:
        over.set()
        thread.join(20)
    assert deleted == 10_000
    assert (count(jobs, OLD), count(jobs)) == (0, 500 + written[0])
    assert written[0] > 3
    again = purge(worker)
    assert again.answer == {"table": "public.jobs", "deleted": 0, "left": 0}


def test_each_batch_is_a_transaction_of_its_own(worker, jobs):
    before = transactions(jobs)
    assert purge(worker, batch=1000).answer["deleted"] == 10_000
    jobs.execute("SELECT pg_stat_force_next_flush()")
    until(lambda: transactions(jobs) - before >= 10)
    sizes = jobs.execute("SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'jobs' AND n_tup_del = 10000")
    assert sizes.fetchone() == (1,)


def transactions(session: psycopg.Connection) -> int:
    row = session.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def test_no_more_rows_go_than_were_shown(worker, jobs):
    answer = purge(worker, batch=400, most=1000).answer
    assert (answer["deleted"], answer["left"]) == (1000, 9000)


def test_a_row_that_somebody_works_on_is_left_for_the_next_time(worker, jobs, trouble):
    busy = trouble.session("api", autocommit=False)
    busy.execute("SELECT FROM jobs WHERE id IN (5, 5000) FOR UPDATE")
    answer = purge(worker).answer
    assert (answer["deleted"], answer["left"]) == (9998, 2)
    busy.rollback()
    assert purge(worker).answer["deleted"] == 2


def test_a_row_that_does_not_match_any_more_stays(worker, jobs, trouble):
    busy = trouble.session("api", autocommit=False)
    busy.execute("UPDATE jobs SET done = now() WHERE id = 5")
    threading.Timer(0.5, busy.commit).start()
    purge(worker, batch=100)
    until(lambda: count(jobs, "id = 5 AND done > now() - interval '1 day'") == 1)
    assert purge(worker).answer["left"] == 0
    assert count(jobs, "id = 5") == 1


def test_killed_in_the_middle_it_is_whole_batches_that_are_gone_and_again_it_goes_on(worker, jobs):
    slowly(jobs)
    process = worker.start("purge", treatment=treatment(batch=500))
    until(lambda: count(jobs, OLD) < 10_000)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    until(lambda: not at_work(jobs))
    left = count(jobs, OLD)
    assert 0 < left < 10_000
    assert left % 500 == 0
    jobs.execute("DROP TRIGGER slowly ON jobs")
    assert purge(worker).answer == {"table": "public.jobs", "deleted": left, "left": 0}
    assert count(jobs) == 500


def test_ctrl_c_ends_it_between_two_batches_and_says_how_many_are_gone(worker, jobs):
    slowly(jobs)
    process = worker.start("purge", treatment=treatment(batch=500))
    until(lambda: count(jobs, OLD) < 10_000)
    os.kill(process.pid, signal.SIGINT)
    answer = worker.finish(process)
    assert answer.code == 1
    assert "interrupted" in answer.answer["message"]
    gone = 10_000 - count(jobs, OLD)
    assert gone % 500 == 0
    known = [f"» {rows:,} of 10,000 rows are deleted, and maybe one more batch of 500" for rows in (gone, gone - 500)]
    assert answer.progress[-1] in known


def slowly(session: psycopg.Connection) -> None:
    """Let a batch take a moment."""
    session.execute(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.15); RETURN NULL; END $$"
    )
    session.execute("CREATE TRIGGER slowly AFTER DELETE ON jobs EXECUTE FUNCTION slowly()")


def at_work(session: psycopg.Connection) -> int:
    ours = "application_name = 'pyinfra-ops' AND datname = current_database()"
    return session.execute(f"SELECT FROM pg_stat_activity WHERE {ours}").rowcount


def test_a_trigger_that_keeps_rows_does_not_keep_it_going_for_ever(worker, jobs):
    jobs.execute(
        "CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER kept BEFORE DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION kept()"
    )
    answer = purge(worker).answer
    assert (answer["deleted"], answer["left"]) == (0, 10_000)


def test_rows_of_partitions_and_of_children_go_as_well(worker, trouble):
    session = trouble.session("batch")
    count_before = session.execute("SELECT count(*), count(*) FILTER (WHERE id % 3 = 0) FROM events").fetchone()
    answer = purge(worker, table="events", where="events.id % 3 = 0", batch=50).answer
    assert (answer["deleted"], answer["left"]) == (count_before[1], 0)
    left = session.execute("SELECT count(*) FROM events").fetchone()
    assert left == (count_before[0] - count_before[1],)
    session.execute("CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent)")
    session.execute("INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1), (3)")
    assert purge(worker, table="parent", where="id = 1").answer["deleted"] == 2
    assert session.execute("SELECT id FROM parent ORDER BY id").fetchall() == [(2,), (3,)]


def test_what_an_index_finds_out_of_order_is_found_to_the_last(worker, jobs):
    jobs.execute("CREATE INDEX ON jobs (md5(id::text)); ANALYZE jobs; SET enable_seqscan = off")
    with psycopg.connect(worker.shop.url, autocommit=True) as owner:
        owner.execute(
            psycopg.sql.SQL("ALTER DATABASE {} SET enable_seqscan = off").format(
                psycopg.sql.Identifier(worker.shop.name)
            )
        )
        owner.execute(
            psycopg.sql.SQL("ALTER DATABASE {} SET enable_tidscan = off").format(
                psycopg.sql.Identifier(worker.shop.name)
            )
        )
    answer = purge(worker, where="md5(id::text) < 'f'", batch=300).answer
    assert answer["left"] == 0
    assert count(jobs, "md5(id::text) < 'f'") == 0


def test_rows_that_refer_to_them_are_named_before(worker, jobs):
    jobs.execute("CREATE TABLE steps (id serial PRIMARY KEY, job bigint REFERENCES jobs ON DELETE CASCADE)")
    jobs.execute("CREATE TABLE lines (step int REFERENCES steps ON DELETE CASCADE)")
    jobs.execute("CREATE TABLE notes (job bigint REFERENCES jobs ON DELETE SET NULL)")
    answer = purge(worker, look=True).answer
    assert (answer["deleted_too"], answer["changed_too"]) == (["lines", "steps"], ["notes"])


def test_rows_that_others_need_are_one_line_and_those_before_stay_deleted(worker, jobs):
    jobs.execute("CREATE TABLE steps (job bigint REFERENCES jobs)")
    jobs.execute("INSERT INTO steps VALUES (5000)")
    answer = purge(worker, batch=1000)
    assert answer.code == 1
    assert "4,000 rows of public.jobs are deleted for good, then:" in answer.answer["message"]
    assert "violates foreign key constraint" in answer.answer["message"]
    assert count(jobs, OLD) == 6000


def test_a_table_that_somebody_alters_is_not_waited_for_for_long(worker, jobs, trouble):
    altering = trouble.session("migration", autocommit=False)
    began = time.monotonic()

    def alter() -> None:
        until(lambda: count(jobs, OLD) < 10_000)
        altering.execute("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE")

    slowly(jobs)
    thread = threading.Thread(target=alter)
    thread.start()
    answer = purge(worker, batch=500)
    thread.join(20)
    assert answer.code == 1
    assert "lock timeout" in answer.answer["message"]
    assert "rows of public.jobs are deleted for good, then:" in answer.answer["message"]
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nonsense", 'column "nonsense" does not exist'),
        ("true); DROP TABLE jobs; --", "syntax error"),
        ("done <", "syntax error"),
        ("true; DELETE FROM jobs", "syntax error"),
        ("what::int > 5", "InvalidTextRepresentation"),
        ("setval('jobs_id_seq', 5) > 0", "ReadOnlySqlTransaction"),
        ("id = %s", "syntax error"),
        ("id = {id}", "syntax error"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused_and_shows_no_value(worker, jobs, where, said):
    for look in (True, False):
        answer = purge(worker, look=look, where=where)
        assert answer.code == 1
        assert answer.answer["error"] == "ConfigurationError", answer.answer
        assert "the condition of the purge old-jobs is refused" in answer.answer["message"]
        assert said in answer.answer["message"]
        assert "x%y" not in answer.answer["message"]
    assert count(jobs) == 10_500


def test_a_condition_may_have_a_percent_sign_and_a_comment(worker, jobs):
    assert purge(worker, where="what LIKE 'x%' -- those").answer["deleted"] == 10_000


@pytest.mark.parametrize("table", ["nowhere", "jobs; DROP TABLE jobs", "jobs_pkey", "a.b.c.d"])
def test_a_rule_of_what_is_no_table_is_refused(worker, jobs, table):
    answer = purge(worker, table=table)
    assert answer.code == 1
    assert "which is no table" in answer.answer["message"]


def test_many_short_batches_are_not_taken_for_one_that_stands_still(worker, jobs):
    database = {**revealed(worker.shop.description()), "deadline": 0.4}
    answer = purge(worker, batch=10, database=database)
    assert (answer.code, answer.answer) == (0, {"table": "public.jobs", "deleted": 10_000, "left": 0})


def test_rows_that_refer_to_a_partition_alone_are_named_as_well(worker, trouble):
    session = trouble.session("ddl")
    session.execute("CREATE TABLE days (day int PRIMARY KEY) PARTITION BY RANGE (day)")
    session.execute("CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10)")
    session.execute("CREATE TABLE notes (day int REFERENCES days_1 ON DELETE CASCADE)")
    assert purge(worker, look=True, table="days", where="day < 5").answer["deleted_too"] == ["notes"]


def test_how_many_are_gone_is_said_even_when_what_is_left_cannot_be_counted(worker, jobs, trouble):
    altering = trouble.session("migration", autocommit=False)
    slowly(jobs)

    def alter() -> None:
        until(lambda: not count(jobs, OLD))
        altering.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")

    thread = threading.Thread(target=alter)
    thread.start()
    answer = purge(worker, batch=10_000)
    thread.join(20)
    assert (answer.code, answer.answer) == (0, {"table": "public.jobs", "deleted": 10_000, "left": None})


def test_a_table_that_somebody_alters_is_said_to_be_locked_and_not_to_lack_an_index(worker, jobs, trouble):
    trouble.session("migration", autocommit=False).execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
    began = time.monotonic()
    answer = purge(worker, look=True)
    assert answer.code == 1
    assert "lock timeout" in answer.answer["message"]
    assert time.monotonic() - began < 60
