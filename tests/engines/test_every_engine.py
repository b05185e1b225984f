"""The contract that every engine passes, with the real tools on a real PostgreSQL."""

from __future__ import annotations

import json
from contextlib import closing

import psycopg
import pytest
from applications import Application
from asked import Asked

from ops import Postgres
from ops.engines import Target, open_engine
from ops.errors import MigrationRefused, OpsError
from ops.secrets import Secret
from ops.worker import migrate as verb
from ops.worker.fingerprint import fingerprint
from ops.worker.request import Request

ADD = "ALTER TABLE orders ADD COLUMN noted text"
DROP = "ALTER TABLE orders DROP COLUMN noted"


def migrate(worker: Asked, application: Application, until: str = "proof", **more):
    return worker.ask("migrate", migrations={**application.description, **more}, until=until)


def schema(worker: Asked) -> dict[str, str]:
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        return fingerprint(connection)


def leftovers(worker: Asked) -> list[str]:
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        query = "SELECT datname FROM pg_database WHERE datname LIKE 'ops_rehearsal_%'"
        return [name for (name,) in connection.execute(query)]


def columns(worker: Asked) -> set[str]:
    return {name for name in schema(worker) if name.startswith("column public.orders.")}


def test_nothing_pending_is_no_change(worker: Asked, application: Application) -> None:
    before = schema(worker)
    answer = migrate(worker, application)
    assert answer.code == 0, answer.answer
    assert answer.answer["changed"] is False
    assert schema(worker) == before


def test_several_pending_are_rehearsed_applied_in_order_and_proved(worker: Asked, application: Application) -> None:
    first = application.write("add", ADD, down=(DROP,))
    second = application.write("fill", "UPDATE orders SET noted = 'x'", down=("UPDATE orders SET noted = NULL",))
    answer = migrate(worker, application)
    assert answer.code == 0, answer.answer
    assert answer.answer["applied"] == [first, second]
    rehearsal = answer.answer["rehearsal"]
    if application.description["kind"] == "prisma":
        assert rehearsal["one_way"] == [first, second]
    else:
        assert rehearsal["reversed"] == [first, second]
    assert rehearsal["findings"] == []
    # Of a command only the whole call is known.
    calls = {first} if application.description["kind"] == "command" else {first, second}
    assert {one["migration"] for one in rehearsal["statements"]} == calls
    assert "column public.orders.noted" in columns(worker)
    again = migrate(worker, application)
    assert again.answer["changed"] is False
    assert again.answer["pending"] == []
    assert not leftovers(worker)


def test_one_that_fails_in_the_middle_fails_in_the_rehearsal(worker: Asked, application: Application) -> None:
    application.write("add", ADD, down=(DROP,))
    wrong = application.write(
        "wrong", "CREATE INDEX orders_noted ON orders (noted)", "ALTER TABLE orders ADD COLUMN id int"
    )
    application.write("after", "CREATE TABLE never (id int)")
    before = schema(worker)
    answer = migrate(worker, application)
    assert answer.code == 1
    assert answer.answer["error"] == "MigrationRefused"
    message = answer.answer["message"]
    assert wrong in message
    assert 'column "id" of relation "orders" already exists' in message
    assert "ADD COLUMN id int" in message
    assert schema(worker) == before
    assert not leftovers(worker)


def test_what_a_failure_outside_of_a_transaction_leaves_is_told(worker: Asked, application: Application) -> None:
    """On the real database, because a rehearsal would have caught it."""
    wrong = application.write("wrong", "CREATE TABLE half (id int)", "CREATE TABLE orders (id int)", outside=True)
    request = Request(**{**asked_of(worker), "migrations": application.description})
    engine = open_engine(request.migrations)
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        pending = engine.status(connection).pending
        applied = engine.up(Target(request.database, worker.shop.name), pending, lambda name: None)
        assert applied.error is not None and applied.error.migration == wrong
        assert 'relation "orders" already exists' in applied.error.said
        # dbmate sends all of a file at once, which PostgreSQL takes for one transaction whatever dbmate was told.
        left = application.description["kind"] != "dbmate"
        assert connection.execute("SELECT to_regclass('half') IS NOT NULL").fetchone() == (left,)
        status = engine.status(connection)
    # Prisma and the ledger of plain files know of it; dbmate and Alembic keep no trace.
    assert [one.id for one in status.pending] == ([] if application.description["kind"] == "prisma" else [wrong])
    assert status.failed == ((wrong,) if application.description["kind"] in ("prisma", "sql") else ())
    answer = migrate(worker, application)
    assert answer.code == 1
    assert wrong in answer.answer["message"]
    told = {"prisma": f"prisma migrate resolve --rolled-back {wrong}", "sql": "DELETE FROM ops_migrations WHERE id ="}
    assert told.get(application.description["kind"], "") in answer.answer["hint"]


def test_two_operators_at_once(worker: Asked, application: Application) -> None:
    application.write("add", ADD, down=(DROP,))
    asked = {"migrations": application.description, "until": "proof"}
    answers = [worker.finish(run) for run in [worker.start("migrate", **asked) for _ in range(2)]]
    done = [answer for answer in answers if answer.code == 0 and answer.answer["changed"]]
    assert len(done) == 1, [answer.answer for answer in answers]
    (other,) = [answer for answer in answers if answer not in done]
    assert other.code == 0 or "holds the lock" in other.answer["message"], other.answer
    assert "column public.orders.noted" in columns(worker)


def test_a_revision_that_the_code_does_not_know_is_refused(worker: Asked, application: Application) -> None:
    application.write("add", ADD, down=(DROP,))
    last = application.write("more", "CREATE TABLE more (id int)", down=("DROP TABLE more",))
    assert migrate(worker, application).code == 0
    application.forget()
    before = schema(worker)
    answer = migrate(worker, application)
    assert answer.code == 1
    assert f"the database has {last}, which the code does not" in answer.answer["message"]
    assert schema(worker) == before


def test_a_tool_or_directory_that_is_not_there_is_one_line(worker: Asked, application: Application) -> None:
    application.write("add", ADD)
    for field in ("directory", "python", "command"):
        if field in application.description:
            answer = migrate(worker, application, "rehearsal", **{field: "/nowhere/at/all"})
            assert answer.code == 1
            assert answer.answer["error"] == "EngineMissing", answer.answer
            assert "/nowhere/at/all" in answer.answer["message"]


def test_a_database_that_cannot_be_reached_and_a_wrong_password(worker: Asked, application: Application) -> None:
    application.write("add", ADD)
    real = int(worker.shop.description().parameters()["port"])
    for port, password, said in ((1, "x", "Connection refused"), (real, "wrong", "password authentication")):
        database = Postgres(host="127.0.0.1", port=port, database=worker.shop.name, user=worker.shop.user,
                            password=Secret("P", lambda password=password: password), sslmode="disable")  # fmt: skip
        request = Request(**{**asked_of(worker), "migrations": application.description, "until": "proof"})
        with pytest.raises(OpsError, match=said) as failure:
            verb.run(request.model_copy(update={"database": database}))
        assert "wrong" not in str(failure.value)


def test_what_is_applied_is_told_in_order_with_its_sql_and_its_way_back(
    worker: Asked, application: Application
) -> None:
    earlier = list(application.ids)
    first = application.write("add", ADD, down=(DROP,))
    second = application.write("fill", "UPDATE orders SET noted = 'x'", down=("UPDATE orders SET noted = NULL",))
    assert migrate(worker, application).code == 0
    application.write("later", "CREATE TABLE later (id int)")
    engine = open_engine(Request(**{**asked_of(worker), "migrations": application.description}).migrations)
    kind = application.description["kind"]
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        applied = engine.applied(connection)
        assert [one.id for one in applied] == [*earlier, first, second]
        assert ADD in applied[-2].sql and "SET noted = 'x'" in applied[-1].sql
        assert all(one.file and one.digest for one in applied)
        assert {one.has_down for one in applied} == {kind != "prisma"}
        # A command is only called; Prisma has none.
        assert (DROP in applied[-2].way_back) is (kind not in ("prisma", "command"))
        assert engine.since(connection, first) == applied[-1:]
        assert engine.since(connection, second) == ()
        assert engine.since(connection, None) == applied
        with pytest.raises(MigrationRefused, match=f"has not applied 0099_no.*{second}, {first}"):
            engine.since(connection, "0099_no")


def test_what_is_applied_and_not_in_the_code_is_told_by_its_id_alone(worker: Asked, application: Application) -> None:
    first = application.write("add", ADD, down=(DROP,))
    last = application.write("more", "CREATE TABLE more (id int)", down=("DROP TABLE more",))
    assert migrate(worker, application).code == 0
    application.forget()
    engine = open_engine(Request(**{**asked_of(worker), "migrations": application.description}).migrations)
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        (unknown,) = engine.since(connection, first)
        assert (unknown.id, unknown.sql, unknown.file, unknown.has_down) == (last, "", "", False)


def asked_of(worker: Asked) -> dict:
    return json.loads(worker.request())
