"""The treatments as typed: each says how many first, touches those alone, and finds nothing to do when run again."""

from __future__ import annotations

import os
import pty
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from command_line import CommandLine, Typed
from psycopg import sql
from psycopg.conninfo import make_conninfo
from standins.cloudflare import ACCOUNT, BASE, TOKEN, CloudflareApi, now_ms
from trouble import Trouble, until

from ops import Directory, Environment, Postgres, Purge, record
from ops.environment import root
from ops.errors import ConfigurationError
from ops.lock import Lock
from ops.sandbox.shop import Shop
from ops.stores import open_store

pytestmark = pytest.mark.slow

OLD = "done < now() - interval '30 days'"


@pytest.fixture
def cloud() -> Iterator[CloudflareApi]:
    with CloudflareApi() as cloud:
        yield cloud
    assert not cloud.violations


@pytest.fixture
def trouble(shop: Shop) -> Iterator[Trouble]:
    found = Trouble(shop.url)
    yield found
    found.end()


class Treating:
    """Types treatments.

    Args:
        pyinfra: the command line, to whose inventory a purge is added.
    """

    def __init__(self, pyinfra: CommandLine) -> None:
        self.pyinfra = pyinfra
        self.describe(f'purges=[Purge(name="old-jobs", table="jobs", where="{OLD}")]')

    def describe(self, *fields: str) -> None:
        text = self.pyinfra.inventory.read_text().replace("Retention, secret", "Purge, Queues, Retention, secret")
        lines = "".join(f"    {field},\n" for field in fields)
        self.pyinfra.inventory.write_text(text.replace("    retention=", f"{lines}    retention="))

    def words(self, **data: object) -> list[str]:
        return ["deploys/treat.py", *(word for name, value in data.items() for word in ("--data", f"{name}={value}"))]

    def type(self, **data: object) -> Typed:
        return self.pyinfra.type("-y", *self.words(**data))

    def dry(self, **data: object) -> Typed:
        return self.pyinfra.type("--dry", *self.words(**data))

    @contextmanager
    def asked(self, **data: object) -> Iterator[Asked]:
        """Type it at a terminal, and read the plan."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            self.pyinfra.command(*self.words(**data)),
            cwd=root(),
            env={**os.environ, **self.pyinfra.secrets},
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            try:
                yield Asked(process, ours)
            finally:
                process.kill()
                os.close(ours)


class Asked:
    """A plan that waits for an answer."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self.text = ""
        assert process.stderr is not None
        while "Press enter to execute" not in self.text:
            piece = os.read(process.stderr.fileno(), 4096)
            assert piece, self.text
            self.text += piece.decode()

    def yes(self) -> str:
        """Carry it out; what was printed then."""
        os.write(self._terminal, b"\n")
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode()
        assert self._process.wait(60) == 0, said
        return said


@pytest.fixture
def treat(pyinfra: CommandLine) -> Treating:
    return Treating(pyinfra)


@pytest.fixture
def protected(treat: Treating) -> Treating:
    treat.describe("protected=True")
    return treat


@pytest.fixture
def jobs(trouble: Trouble) -> psycopg.Connection:
    """A table with 10,000 old jobs and 500 new ones."""
    session = trouble.session("pyinfra-ops test")  # which is not ended as idle
    session.execute("CREATE TABLE jobs (id bigserial PRIMARY KEY, done timestamptz)")
    session.execute("INSERT INTO jobs (done) SELECT now() - interval '60 days' FROM generate_series(1, 10000)")
    session.execute("INSERT INTO jobs (done) SELECT now() FROM generate_series(1, 500)")
    return session


def count(session: psycopg.Connection, where: str = "true") -> int:
    row = session.execute(f"SELECT count(*) FROM jobs WHERE {where}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def lives(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT")
    except psycopg.OperationalError:
        return False
    return True


def told(typed: Typed, words: str) -> bool:
    return any(words in line for line in typed.lines)


def no_change(typed: Typed) -> bool:
    return typed.code == 0 and told(typed, "No changes")


def test_idle_connections_are_counted_by_application_and_ended_and_then_there_are_none(treat, trouble, store_s3):
    api = [trouble.session("api"), trouble.session("api")]
    web = trouble.session("web")
    time.sleep(1.1)
    dry = treat.dry(idle="1s")
    assert dry.code == 0, dry.stderr
    assert told(dry, "Would: end 3 idle connections to")
    rows = [line.split() for line in dry.lines if line.startswith(("api", "web"))]
    assert [(row[0], row[2], row[3]) for row in rows] == [("api", "idle", "2"), ("web", "idle", "1")]
    assert all(map(lives, [*api, web]))
    time.sleep(1.1)
    done = treat.type(idle="1s", application="api")
    assert done.code == 0, done.stderr
    assert told(done, "2 connections ended")
    assert [lives(each) for each in (*api, web)] == [False, False, True]
    (run,) = record.runs(open_store(store_s3), "test", 5)
    assert (run.deploy, run.result, run.facts) == ("treat", "done", {"ended": 2})
    again = treat.type(idle="1s", application="api")
    assert no_change(again), again.stderr
    assert told(again, "no connection of api that may be ended has been idle for 1s")


@pytest.mark.slow
def test_those_are_ended_that_the_plan_has_shown_and_that_are_idle_still(treat, trouble):
    shown, busy = trouble.session("shown"), trouble.session("busy")
    time.sleep(0.6)
    with treat.asked(idle="0.5s") as plan:
        assert "end 2 idle connections" in plan.text
        late = trouble.session("late")
        time.sleep(0.6)
        thread = threading.Thread(target=lambda: busy.execute("SELECT pg_sleep(6)"))
        thread.start()
        said = plan.yes()
    assert "1 connection ended" in said
    thread.join(20)
    assert [lives(each) for each in (shown, busy, late)] == [False, True, True]


def test_a_transaction_that_has_written_is_not_lost_without_a_word(protected, trouble):
    batch = trouble.session("batch", autocommit=False)
    batch.execute("UPDATE customers SET name = 'x' WHERE id = 1")
    time.sleep(0.6)
    for typed in (protected.dry(idle="0.5s"), protected.type(idle="0.5s")):
        assert typed.code == 1
        assert told(typed, "what 1 of them wrote in a transaction that is open still is lost with them")
        assert told(typed, "the environment test is protected. If you mean it, add --data confirm=test")
    assert lives(batch)
    time.sleep(0.6)
    done = protected.type(idle="0.5s", confirm="test")
    assert done.code == 0, done.stderr
    assert not lives(batch)


def test_connections_that_have_nothing_to_lose_need_no_word(protected, trouble):
    api = trouble.session("api")
    time.sleep(0.6)
    done = protected.type(idle="0.5s")
    assert done.code == 0, done.stderr
    assert not lives(api)


def test_a_blocker_is_shown_and_ended_and_then_gone_already(protected, trouble, store_s3):
    blocker = trouble.session("console", autocommit=False)
    blocker.execute("UPDATE customers SET name = 'alice' WHERE id = 7")
    waiting = trouble.waits("api", "UPDATE customers SET name = 'bob' WHERE id = 7")
    pid = blocker.info.backend_pid
    refused = protected.type(terminate=pid)
    assert refused.code == 1
    assert told(refused, "the environment test is protected. If you mean it, add --data confirm=test")
    dry = protected.dry(terminate=pid, confirm="test")
    assert dry.code == 0, dry.stderr
    who = re.compile(
        rf"{pid} is shop_owner \(console\) from 127\.0\.0\.1, idle in transaction, in a transaction of \d+s, "
        r"which has written: UPDATE customers SET name = \? WHERE id = \?$"
    )
    assert any(who.match(line) for line in dry.lines), dry.stderr
    assert told(dry, f"for it wait: {waiting}")
    assert told(dry, f"Would: end the session {pid} of shop_owner, for which 1 wait")
    assert lives(blocker)
    assert record.runs(open_store(store_s3), "test", 5) == []
    done = protected.type(terminate=pid, confirm="test")
    assert done.code == 0, done.stderr
    assert not lives(blocker)
    with psycopg.connect(protected.pyinfra.secrets["TEST_DATABASE_URL"], autocommit=True) as looking:
        until(lambda: looking.execute("SELECT name FROM customers WHERE id = 7").fetchone() == ("bob",))
    again = protected.type(terminate=pid, confirm="test")
    assert no_change(again), again.stderr
    assert told(again, f"there is no session {pid}, or none any more")
    assert "alice" not in refused.stderr + dry.stderr + done.stderr


def test_names_in_the_database_do_nothing_to_the_terminal(treat, trouble, postgres, shop, jobs):
    role, password = f"x\x1b]0;{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(postgres.url(), autocommit=True) as owner:
        names = {"role": sql.Identifier(role), "password": sql.Literal(password), "owner": sql.Identifier("shop_owner")}
        owner.execute(sql.SQL("CREATE ROLE {role} LOGIN PASSWORD {password}; GRANT {role} TO {owner}").format(**names))
        jobs.execute('CREATE TABLE "y\x1b]0;" (job bigint REFERENCES jobs ON DELETE CASCADE)')
        try:
            url = make_conninfo(shop.url, user=role, password=password)
            with closing(psycopg.connect(url, application_name="api", autocommit=True)) as api:
                time.sleep(0.6)
                typed = [
                    treat.dry(idle="0.5s"),
                    treat.dry(purge="old-jobs"),
                    treat.type(terminate=api.info.backend_pid),
                ]
        finally:
            owner.execute(sql.SQL("DROP ROLE {role}").format(**names))
    assert [one.code for one in typed] == [0, 0, 0]
    assert not [one for one in typed if "\x1b]0;" in one.stderr]


def test_a_table_is_vacuumed_and_then_there_is_nothing_to_do(treat, jobs):
    jobs.execute("ALTER TABLE jobs SET (autovacuum_enabled = false)")
    jobs.execute(f"DELETE FROM jobs WHERE {OLD}")
    jobs.execute("SELECT pg_stat_force_next_flush()")
    dry = treat.dry(vacuum="jobs")
    assert told(dry, "Would: vacuum and analyse public.jobs: 10,000 of 10,500 rows are dead"), dry.stderr
    done = treat.type(vacuum="jobs")
    assert done.code == 0, done.stderr
    assert told(done, "10,000 dead rows are gone")
    again = treat.type(vacuum="jobs")
    assert no_change(again), again.stderr
    assert told(again, "public.jobs has no dead rows, and nothing was changed in it since it was analysed")


def test_rows_of_a_rule_are_counted_and_deleted_and_then_there_are_none(protected, jobs, store_s3):
    jobs.execute("CREATE TABLE steps (job bigint REFERENCES jobs ON DELETE CASCADE)")
    refused = protected.type(purge="old-jobs")
    assert refused.code == 1
    assert told(refused, "deleted with them, and not counted: rows that refer to them in steps")
    assert told(refused, "If you mean it, add --data confirm=test")
    dry = protected.dry(purge="old-jobs", confirm="test")
    assert told(dry, f"Would: delete 10,000 rows of public.jobs for good, 1,000 at once: {OLD}"), dry.stderr
    assert count(jobs) == 10_500
    done = protected.type(purge="old-jobs", batch=2500, confirm="test")
    assert done.code == 0, done.stderr
    assert told(done, "10,000 rows of public.jobs are deleted")
    assert (count(jobs), count(jobs, OLD)) == (500, 0)
    (run,) = record.runs(open_store(store_s3), "test", 5)
    assert (run.result, run.facts) == ("done", {"purged": {"old-jobs": 10_000}})
    again = protected.type(purge="old-jobs", confirm="test")
    assert no_change(again), again.stderr
    assert told(again, "public.jobs has no rows of the purge old-jobs")


@pytest.mark.slow
def test_no_more_rows_are_deleted_than_the_plan_has_shown(treat, jobs):
    with treat.asked(purge="old-jobs") as plan:
        assert "delete 10,000 rows of public.jobs" in plan.text
        jobs.execute("INSERT INTO jobs (done) SELECT now() - interval '60 days' FROM generate_series(1, 700)")
        said = plan.yes()
    assert "10,000 rows of public.jobs are deleted" in said
    assert "700 rows of the purge old-jobs are there by now, or were held by others: run it again" in said
    assert count(jobs, OLD) == 700


def slowly(session: psycopg.Connection) -> None:
    session.execute(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;"
        "CREATE TRIGGER slowly AFTER DELETE ON jobs EXECUTE FUNCTION slowly()"
    )


def alone(session: psycopg.Connection) -> None:
    """Wait until no worker is connected any more."""
    ours = "application_name = 'pyinfra-ops' AND datname = current_database()"
    until(lambda: not session.execute(f"SELECT FROM pg_stat_activity WHERE {ours}").rowcount)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_cut_off_in_the_middle_whole_batches_are_gone_and_typed_again_it_goes_on(treat, jobs, how, store_s3):
    slowly(jobs)
    words = treat.words(purge="old-jobs", batch=250)
    with treat.pyinfra.start("-y", *words, stderr=subprocess.PIPE) as process:
        until(lambda: count(jobs, OLD) <= 9000)
        if how is signal.SIGINT:  # as the terminal sends it, to all of them
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if how is signal.SIGINT else -9)
    assert re.search(r"[\d,]+ of 10,000 rows are deleted", said), said
    alone(jobs)
    left = count(jobs, OLD)
    assert 0 < left < 10_000
    assert left % 250 == 0
    jobs.execute("DROP TRIGGER slowly ON jobs")
    again = treat.type(purge="old-jobs")
    assert again.code == 0, again.stderr
    assert told(again, f"{left:,} rows of public.jobs are deleted")
    assert count(jobs) == 500


def test_a_queue_is_paused_and_resumed_once_each(treat, cloud):
    treat.describe(f'queues=Queues(account="{ACCOUNT}", token=secret("TEST_TOKEN"), api="{cloud.url}{BASE}")')
    treat.pyinfra.secrets["TEST_TOKEN"] = TOKEN
    jobs = cloud.queues[1]
    cloud.messages[jobs["queue_id"]] += [now_ms(), now_ms()]
    assert told(treat.dry(pause="jobs"), "Would: pause the queue jobs, in which 2 messages wait")
    assert jobs["settings"]["delivery_paused"] is False
    assert treat.type(pause="jobs").code == 0
    assert jobs["settings"]["delivery_paused"] is True
    assert no_change(treat.type(pause="jobs"))
    assert treat.type(resume="jobs").code == 0
    assert jobs["settings"]["delivery_paused"] is False
    assert no_change(treat.type(resume="jobs"))


def test_nothing_is_done_while_somebody_else_is_at_work(treat, trouble, jobs, store_s3):
    blocker = trouble.session("console")
    with Lock(open_store(store_s3), "test/lock", "ann@laptop", "migrate"):
        for data in ({"terminate": blocker.info.backend_pid}, {"purge": "old-jobs"}):
            typed = treat.type(**data)
            assert typed.code == 1
            assert told(typed, "ann@laptop holds the lock for migrate")
    assert lives(blocker)
    assert count(jobs) == 10_500


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "it is not said what to do. Add one of --data idle=5m, terminate=PID"),
        ({"idle": "5m", "vacuum": "jobs"}, "idle and vacuum are 2 treatments. Add one of"),
        ({"vacuum": "jobs", "batch": 5}, "batch=5 says nothing to vacuum. It belongs to purge"),
        ({"purge": "old-jobs", "application": "api"}, "application=api says nothing to purge. It belongs to idle"),
        ({"idle": 5}, "5 is no duration"),
        ({"idle": "0s"}, "idle=0s is no time at all"),
        ({"terminate": "api"}, "terminate=api is no pid"),
        ({"terminate": -1}, "terminate=-1 is no pid"),
        ({"terminate": "99999999999"}, "terminate=99999999999 is no pid"),
        ({"vacuum": "nowhere"}, "there is no table nowhere"),
        ({"purge": "jobs"}, "the inventory of test declares no purge jobs. There are: old-jobs"),
        ({"purge": "old-jobs", "batch": 0}, "batch=0 is no number of rows"),
        ({"purge": "old-jobs", "batch": "many"}, "batch=many is no number of rows"),
        ({"pause": "jobs"}, "the environment test describes no queues"),
        ({"kill": 5}, "treat.py has no option kill"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_changes_nothing(treat, jobs, data, said):
    typed = treat.dry(**data)
    assert typed.code == 1
    assert told(typed, said), typed.stderr
    assert "Traceback" not in typed.stderr
    assert count(jobs) == 10_500


def test_rules_that_cannot_be_meant_are_refused_in_the_inventory(tmp_path: Path):
    rule = Purge(name="old-jobs", table="jobs", where=OLD)
    with pytest.raises(ConfigurationError, match="two purges are called old-jobs"):
        Environment(
            name="test",
            database=Postgres(host="127.0.0.1", database="shop"),
            store=Directory(path=str(tmp_path)),
            purges=[rule, rule],
        )
    for where in ("", "  "):
        with pytest.raises(ConfigurationError, match="Purge"):
            Purge(name="all", table="jobs", where=where)
