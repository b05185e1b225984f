"""A table is vacuumed, and what keeps it from being so is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from asked import Answer, Asked
from trouble import Trouble, only_reading

from ops.sandbox.shop import Shop
from ops.secrets import revealed


@pytest.fixture
def trouble(shop: Shop) -> Iterator[Trouble]:
    found = Trouble(shop.url)
    yield found
    found.end()


@pytest.fixture
def dead(trouble: Trouble) -> psycopg.Connection:
    """A table of 2000 rows, half of which are dead."""
    session = trouble.session("batch")
    session.execute("CREATE TABLE work (id int) WITH (autovacuum_enabled = false)")
    session.execute("INSERT INTO work SELECT generate_series(1, 2000)")
    session.execute("DELETE FROM work WHERE id > 1000")
    session.execute("SELECT pg_stat_force_next_flush()")
    return session


def vacuum(worker: Asked, table: str, **more: Any) -> Answer:
    return worker.ask("vacuum", treatment={"kind": "vacuum_table", "table": table}, **more)


def test_what_is_dead_goes_and_then_there_is_nothing_to_do(worker, dead):
    seen = vacuum(worker, "work", look=True).answer
    assert (seen["schema"], seen["name"], seen["dead"], seen["live"], seen["fresh"]) == (
        "public",
        "work",
        1000,
        1000,
        False,
    )
    assert vacuum(worker, "work", look=True).answer == seen, "who only looks changes nothing"
    done = vacuum(worker, "work").answer
    assert (done["before"], done["dead"], done["holder"]) == (1000, 0, None)
    assert vacuum(worker, "public.work", look=True).answer["fresh"] is True


def test_what_is_partitioned_is_counted_and_vacuumed_as_a_whole(worker, trouble):
    session = trouble.session("batch")
    session.execute("UPDATE events SET kind = kind")
    session.execute("SELECT pg_stat_force_next_flush()")
    count = session.execute("SELECT count(*) FROM events").fetchone()[0]
    assert vacuum(worker, "events", look=True).answer["dead"] == count
    assert vacuum(worker, "events").answer["dead"] == 0


def test_rows_that_an_old_transaction_may_still_read_stay_and_it_is_said_whose(worker, dead, trouble):
    old = trouble.session("report", autocommit=False)
    old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    old.execute("SELECT count(*) FROM work")
    dead.execute("DELETE FROM work WHERE id > 500")
    dead.execute("SELECT pg_stat_force_next_flush()")
    done = vacuum(worker, "work").answer
    assert (done["before"], done["dead"]) == (1500, 500)
    assert (done["holder"]["pid"], done["holder"]["application"]) == (old.info.backend_pid, "report")


def test_a_table_that_somebody_alters_is_one_line_after_seconds(worker, dead, trouble):
    trouble.session("migration", autocommit=False).execute("ALTER TABLE work ADD COLUMN more int")
    answer = vacuum(worker, "work")
    assert answer.code == 1
    assert "lock timeout" in answer.answer["message"]


@pytest.mark.parametrize("table", ["nowhere", "a.b.c.d", "work; DROP TABLE work", "", "orders_pkey"])
def test_what_is_no_table_is_refused(worker, dead, table):
    answer = vacuum(worker, table or " ")
    assert answer.code == 1
    assert "no table" in answer.answer["message"]
    assert dead.execute("SELECT count(*) FROM work").fetchone() == (1000,)


def test_who_does_not_own_the_table_is_told_so(worker, dead, postgres, shop):
    with only_reading(postgres, shop.name) as reader:
        answer = vacuum(worker, "work", database=revealed(reader))
    assert answer.code == 1
    assert "may not vacuum work, because it does not own it" in answer.answer["message"]


def test_what_is_partitioned_and_has_no_partition_has_nothing_to_do(worker, trouble):
    trouble.session("ddl").execute("CREATE TABLE days (day int) PARTITION BY RANGE (day)")
    seen = vacuum(worker, "days", look=True).answer
    assert (seen["dead"], seen["live"], seen["size"], seen["fresh"]) == (0, 0, 0, True)
