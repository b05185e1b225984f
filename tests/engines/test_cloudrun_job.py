"""Migrations that a job on Cloud Run applies to the real database."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from applications import OfAlembic
from asked import Asked
from standins.cloudrun_jobs import TOKEN, GoogleCloudRunJobs
from standins.server import HTML, Fault

from ops.engines import cloudrun_job
from ops.sandbox.shop import Shop

pytestmark = pytest.mark.slow

ADD, BACK = "ALTER TABLE orders ADD COLUMN x int", "ALTER TABLE orders DROP COLUMN x"


@pytest.fixture
def cloud(alembic: OfAlembic, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloudRunJobs]:
    """Its job runs Alembic as its container would."""
    monkeypatch.setattr(cloudrun_job, "PAUSE", 0.05)
    with GoogleCloudRunJobs([sys.executable, "-m", "alembic", "upgrade", "head"], alembic.place) as cloud:
        yield cloud
    assert not cloud.violations


def migrate(worker: Asked, alembic: OfAlembic, cloud: GoogleCloudRunJobs, until: str = "proof", **more):
    job = {"project": "tests", "region": "us-east1", "job": "migrate", "token": TOKEN,
           "api": f"{cloud.url}/v2", "logging": f"{cloud.url}/v2"}  # fmt: skip
    return worker.ask("migrate", migrations={**alembic.description, "job": job, **more}, until=until)


def columns(shop: Shop) -> set[str]:
    with closing(psycopg.connect(shop.url)) as connection:
        query = "SELECT attname FROM pg_attribute WHERE attrelid = 'orders'::regclass AND NOT attisdropped"
        return {name for (name,) in connection.execute(query)}


def test_a_job_applies_what_was_rehearsed_here(worker, shop, alembic, cloud) -> None:
    id = alembic.write("add", ADD, down=(BACK,))
    rehearsed = migrate(worker, alembic, cloud, "rehearsal")
    assert rehearsed.code == 0, rehearsed.answer
    assert not cloud.executions
    assert "x" not in columns(shop)
    applied = migrate(worker, alembic, cloud)
    assert applied.code == 0, applied.answer
    assert applied.answer["applied"] == [id]
    assert "x" in columns(shop)
    again = migrate(worker, alembic, cloud)
    assert (again.answer["changed"], len(cloud.executions)) == (False, 1)


def test_a_job_obeys_the_limits_and_is_tried_again(worker, shop, alembic, cloud) -> None:
    alembic.write("add", ADD, down=(BACK,))
    with closing(psycopg.connect(shop.url)) as blocker:

        def give_way() -> None:
            while len(cloud.executions) < 2:
                time.sleep(0.05)
            blocker.rollback()

        worker.ask("dump")
        blocker.execute("LOCK TABLE orders IN ACCESS SHARE MODE")
        threading.Thread(target=give_way, daemon=True).start()
        answer = migrate(worker, alembic, cloud, lock_timeout=1, tries=20)
    assert answer.code == 0, (answer.answer, answer.progress)
    assert len(cloud.executions) > 1
    assert any("no lock within 1 s" in line for line in answer.progress)


def test_what_postgres_said_in_a_job_is_told(worker, shop, alembic, cloud) -> None:
    id = alembic.write(
        "wrong", "DO $$BEGIN IF current_database() NOT LIKE 'ops_%' THEN RAISE 'not here'; END IF; END$$"
    )
    answer = migrate(worker, alembic, cloud)
    assert answer.code == 1
    assert f"the migration {id} failed: " in answer.answer["message"]
    assert "not here" in answer.answer["message"]
    assert "The real database has the schema that it had before" in answer.answer["message"]


def test_a_job_of_other_code_is_found_out(worker, shop, alembic, cloud) -> None:
    alembic.write("add", ADD, down=(BACK,))
    cloud.command = ["true"]
    answer = migrate(worker, alembic, cloud)
    assert answer.code == 1
    assert "succeeded, but did not apply it" in answer.answer["message"]


@pytest.mark.parametrize(("retries", "said"), [(None, "3"), (1, "1")])
def test_a_job_that_tries_again_by_itself_is_refused_first(worker, alembic, cloud, retries, said) -> None:
    alembic.write("add", ADD, down=(BACK,))
    cloud.retries = retries
    answer = migrate(worker, alembic, cloud)
    assert f"tries {said} times more by itself" in answer.answer["message"]
    assert "--max-retries 0" in answer.answer["hint"]
    assert worker.ask("list").answer["backups"] == []


def test_a_job_that_may_have_begun_is_said_so(worker, alembic, cloud) -> None:
    alembic.write("add", ADD, down=(BACK,))
    cloud.faults.append(Fault(502, HTML, on=":run"))
    answer = migrate(worker, alembic, cloud)
    assert "whether the job migrate was begun is not known" in answer.answer["message"]
    assert not cloud.executions


def test_a_job_is_cancelled_when_nobody_waits_for_it_any_more(worker, shop, alembic, cloud, monkeypatch) -> None:
    alembic.write("slow", ADD, "SELECT pg_sleep(CASE WHEN current_database() LIKE 'ops_%' THEN 0 ELSE 60 END)")

    class Interrupted:
        monotonic = staticmethod(time.monotonic)

        def sleep(self, seconds: float) -> None:
            time.sleep(0.05)
            if cloud.processes:
                time.sleep(1)
                raise KeyboardInterrupt

    monkeypatch.setattr(cloudrun_job, "time", Interrupted())
    answer = migrate(worker, alembic, cloud)
    assert "it was interrupted" in answer.answer["message"]
    assert "x" not in columns(shop)
    assert [str(one) for one in cloud.requests if ":cancel" in one.path]
    (process,) = cloud.processes.values()
    assert process.wait(10) != 0
