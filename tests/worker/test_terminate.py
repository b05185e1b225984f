"""Who is ended: those that were shown and are still as they were shown, and nobody else."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from asked import Answer, Asked
from psycopg import sql
from trouble import Trouble, only_reading, until

from ops.sandbox.postgres import PostgresServer
from ops.sandbox.shop import Shop
from ops.secrets import revealed


@pytest.fixture
def trouble(shop: Shop) -> Iterator[Trouble]:
    found = Trouble(shop.url)
    yield found
    found.end()


def idle(worker: Asked, older: float = 0.01, look: bool = False, **more: Any) -> Answer:
    database = more.pop("database", revealed(worker.shop.description()))
    treatment = {"kind": "end_idle", "older_than": older, **more}
    return worker.ask("terminate", treatment=treatment, look=look, database=database)


def one(worker: Asked, pid: int, look: bool = False, **more: Any) -> Answer:
    return worker.ask("terminate", treatment={"kind": "end_session", "pid": pid, **more}, look=look)


def shown(worker: Asked, **more: Any) -> dict[str, dict[str, Any]]:
    """Who would be ended, by application."""
    answer = idle(worker, look=True, **more)
    assert answer.code == 0, answer.answer
    return {one["application"]: one for one in answer.answer["found"]}


def only(*of: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"pid": each["pid"], "started": each["started"]} for each in of]


def lives(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT")
    except psycopg.OperationalError:
        return False
    return True


def test_those_that_were_shown_are_ended_and_those_that_are_younger_or_of_us_are_not(worker, trouble):
    api, batch = trouble.session("api"), trouble.session("batch", autocommit=False)
    batch.execute("UPDATE customers SET name = 'x' WHERE id = 1")
    migration = trouble.session("pyinfra-ops migration")
    time.sleep(1.1)
    young = trouble.session("young")
    found = shown(worker, older=1)
    assert {name: (each["state"], each["wrote"], each["endable"]) for name, each in found.items()} == {
        "api": ("idle", False, True),
        "batch": ("idle in transaction", True, True),
    }
    answer = idle(worker, older=1, only=only(*found.values()))
    assert (answer.code, answer.answer) == (0, {"ended": 2, "left": 0})
    assert [lives(each) for each in (api, batch, migration, young)] == [False, False, True, True]
    assert idle(worker, older=1, only=only(*found.values())).answer == {"ended": 0, "left": 2}


def test_who_was_not_shown_or_is_at_work_again_is_not_ended(worker, trouble):
    sessions = {name: trouble.session(name) for name in ("api", "again", "unseen")}
    time.sleep(0.6)
    found = shown(worker, older=0.5)
    sessions["again"].execute("SELECT 1")
    answer = idle(worker, older=0.5, only=only(found["api"], found["again"]))
    assert answer.answer == {"ended": 1, "left": 1}
    assert [lives(each) for each in sessions.values()] == [False, True, True]


def test_a_pid_that_belongs_to_another_session_by_now_is_not_ended(worker, trouble):
    session = trouble.session("api")
    found = shown(worker)["api"]
    stale = {**found, "started": "2026-01-01T00:00:00.000000"}
    assert idle(worker, only=only(stale)).answer == {"ended": 0, "left": 1}
    assert one(worker, found["pid"], started=stale["started"]).answer == {"gone": True}
    assert one(worker, found["pid"], started=stale["started"], look=True).answer == {"gone": True}
    assert lives(session)
    assert one(worker, found["pid"], started=found["started"]).answer["gone"] is False
    assert not lives(session)


def test_only_one_application_is_ended_when_that_is_asked_for(worker, trouble):
    api, web = trouble.session("api"), trouble.session("web")
    assert list(shown(worker, application="api")) == ["api"]
    assert idle(worker, application="api").answer == {"ended": 1, "left": 0}
    assert (lives(api), lives(web)) == (False, True)


@pytest.fixture
def other_role(postgres: PostgresServer) -> Iterator[Any]:
    """A role of nobody's, and how to connect as it."""
    name, password = f"other_{secrets.token_hex(4)}", secrets.token_urlsafe(12)
    role = sql.Identifier(name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        yield lambda database: postgres.url(database, name, password)
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_whom_our_role_may_not_end_stays_and_is_counted(worker, trouble, postgres, shop, other_role):
    url = other_role(shop.name)
    with psycopg.connect(url, application_name="elsewhere") as other, only_reading(postgres, shop.name) as reader:
        seen = idle(worker, look=True, database=revealed(reader)).answer
        assert [(each["application"], each["endable"]) for each in seen["found"]] == [("elsewhere", False)]
        assert idle(worker, database=revealed(reader)).answer == {"ended": 0, "left": 1}
        hidden = idle(worker, look=True).answer
        assert (hidden["found"], hidden["hidden"]) == ([], 1)
        refused = one(worker, other.info.backend_pid)
        assert refused.code == 1
        assert "may not end the process" in refused.answer["message"]
        assert "GRANT pg_signal_backend" in refused.answer["hint"]
        assert lives(other)


def test_who_blocks_is_described_with_those_who_wait_and_then_ended(worker, trouble):
    blocker = trouble.session("console", autocommit=False)
    blocker.execute("UPDATE customers SET name = 'alice' WHERE id = 7")
    waiting = [
        trouble.waits("api", "UPDATE customers SET name = 'bob' WHERE id = 7"),
        trouble.waits("migration", "ALTER TABLE customers ADD COLUMN more integer"),
    ]
    pid = blocker.info.backend_pid
    answer = one(worker, pid, look=True).answer
    assert answer["waiting"] == waiting
    session = answer["session"]
    assert (session["state"], session["wrote"]) == ("idle in transaction", True)
    assert session["query"] == "UPDATE customers SET name = ? WHERE id = ?"
    assert lives(blocker)
    assert one(worker, pid).answer["gone"] is False
    assert not lives(blocker)
    with psycopg.connect(worker.shop.url, autocommit=True) as looking:
        until(lambda: looking.execute("SELECT name FROM customers WHERE id = 7").fetchone() == ("bob",))
    assert one(worker, pid).answer == {"gone": True}


def test_a_session_of_another_database_is_refused(worker, postgres):
    with psycopg.connect(postgres.url()) as elsewhere:
        answer = one(worker, elsewhere.info.backend_pid)
        assert answer.code == 1
        assert "is connected to postgres, and not to" in answer.answer["message"]
        assert lives(elsewhere)


def test_the_server_s_own_processes_are_refused(worker, postgres):
    with psycopg.connect(postgres.url()) as looking:
        kinds = "('checkpointer', 'walwriter', 'logical replication launcher', 'background writer')"
        own = looking.execute(f"SELECT pid FROM pg_stat_activity WHERE backend_type IN {kinds}").fetchall()
        assert len(own) >= 3
        for (pid,) in own:
            answer = one(worker, pid)
            assert answer.code == 1
            assert "is left alone" in answer.answer["message"]
        assert looking.execute(f"SELECT pid FROM pg_stat_activity WHERE backend_type IN {kinds}").fetchall() == own


def test_a_superuser_s_session_is_refused(worker, postgres, shop):
    with psycopg.connect(postgres.url(shop.name)) as superuser:
        answer = one(worker, superuser.info.backend_pid)
        assert answer.code == 1
        assert answer.answer["hint"] == "It is a superuser's: end it as one"
        assert lives(superuser)


def test_whom_our_role_may_end_but_not_see_is_left_alone_and_it_is_said_what_to_grant(
    worker, postgres, shop, other_role
):
    ours = revealed(worker.shop.description())["user"]
    with psycopg.connect(postgres.url(), autocommit=True) as owner:
        owner.execute(sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(ours)))
        try:
            with psycopg.connect(other_role(shop.name)) as other:
                for look in (True, False):
                    answer = one(worker, other.info.backend_pid, look=look)
                    assert answer.code == 1
                    assert "hidden from the role" in answer.answer["message"]
                    assert "GRANT pg_monitor" in answer.answer["hint"]
                assert lives(other)
        finally:
            owner.execute(sql.SQL("REVOKE pg_signal_backend FROM {}").format(sql.Identifier(ours)))


def test_who_waits_for_two_waits_for_each_of_them(worker, trouble):
    readers = [trouble.session(name, autocommit=False) for name in ("report", "console")]
    for reader in readers:
        reader.execute("SELECT count(*) FROM customers")
    first = trouble.waits("migration", "ALTER TABLE customers ADD COLUMN more integer")
    second = trouble.waits("web", "SELECT count(*) FROM customers")
    for reader in readers:
        assert one(worker, reader.info.backend_pid, look=True).answer["waiting"] == [first, second]
    assert one(worker, first, look=True).answer["waiting"] == [second]


def test_a_superuser_s_session_stays_even_when_our_role_belongs_to_that_superuser(worker, trouble, postgres, shop):
    ours, boss = revealed(worker.shop.description())["user"], f"boss_{secrets.token_hex(4)}"
    password = secrets.token_urlsafe(12)
    with psycopg.connect(postgres.url(), autocommit=True) as owner:
        names = {"boss": sql.Identifier(boss), "ours": sql.Identifier(ours), "password": sql.Literal(password)}
        owner.execute(sql.SQL("CREATE ROLE {boss} SUPERUSER LOGIN PASSWORD {password}").format(**names))
        owner.execute(sql.SQL("GRANT {boss} TO {ours}").format(**names))
        try:
            api = trouble.session("api")
            with psycopg.connect(postgres.url(shop.name, boss, password), application_name="boss") as other:
                found = shown(worker)
                assert (found["api"]["endable"], found["boss"]["endable"]) == (True, False)
                assert idle(worker).answer["ended"] == 1
                assert (lives(api), lives(other)) == (False, True)
        finally:
            owner.execute(sql.SQL("DROP ROLE {boss}").format(**names))
