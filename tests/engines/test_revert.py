"""The way back: what is told of it, what is lost by it, and that production goes where its copy went."""

from __future__ import annotations

from pathlib import Path

import pytest
from applications import Application, OfAlembic, OfSql
from asked import Asked
from questions import columns, execute, rehearsals
from there_and_back import ADD, DROP, migrate, revert

from ops.sandbox.shop import Shop

pytestmark = pytest.mark.slow


def test_what_was_applied_is_undone_as_far_as_asked_and_once(worker: Asked, application: Application) -> None:
    first = application.write("add", ADD, down=(DROP,))
    second = application.write("fill", "UPDATE orders SET noted = 'x'", down=("UPDATE orders SET noted = NULL",))
    third = application.write("new", "CREATE TABLE new (id int)", down=("DROP TABLE new",))
    migrate(worker, application)
    told = revert(worker, application, first, "status")
    assert told.code == 0, told.answer
    assert (told.answer["current"], told.answer["changed"]) == (third, False)
    assert [(one["id"], one["impact"]) for one in told.answer["undo"]] == [(third, "additive"), (second, "breaking")]
    assert told.answer["undo"][1]["reasons"] == ["rows are changed in orders, which old code reads"]
    everything = revert(worker, application, "base", "status").answer["undo"]
    assert [one["impact"] for one in everything][-3:][:2] == ["additive", "additive"], "the column itself is new"
    undone = revert(worker, application, first)
    if application.description["kind"] == "prisma":
        assert undone.answer["message"] == f"{third}, {second} have no way back"
        assert undone.answer["hint"] == "Choose database=restore"
        return
    assert undone.code == 0, undone.answer
    assert undone.answer["undone"] == [third, second]
    rehearsal = undone.answer["rehearsal"]
    assert rehearsal["reversed"] == [second, third]
    assert rehearsal["findings"] == []
    assert "- table public.new" in rehearsal["schema"]
    assert [one["what"] for one in rehearsal["lost"]] == ["public.orders.noted"]
    assert execute(worker, "SELECT to_regclass('new'), count(noted) FROM orders") == [(None, 0)]
    again = revert(worker, application, first)
    assert (again.code, again.answer["changed"], again.answer["undo"]) == (0, False, [])
    rest = revert(worker, application, "base")
    assert rest.code == 0, rest.answer
    # The command line applies all that is pending, and not this one alone.
    once_more = [] if application.description["kind"] == "command" else [first]
    assert rest.answer["rehearsal"]["reversed"] == once_more
    assert "noted" not in columns(worker)
    assert migrate(worker, application).answer["applied"] == [first, second, third]
    assert not rehearsals(worker)


def test_where_the_database_never_was_is_one_line(worker: Asked, application: Application) -> None:
    application.write("add", ADD, down=(DROP,))
    migrate(worker, application)
    answer = revert(worker, application, "0815", "status")
    assert (answer.code, answer.answer["message"]) == (1, "the database has not applied 0815")


def test_rows_and_values_that_are_lost_are_counted(worker: Asked, plain: OfSql) -> None:
    execute(
        worker, "CREATE TABLE box (id int, old text)", "INSERT INTO box SELECT n, 'x' FROM generate_series(1, 10) n"
    )
    base = plain.write("nothing", "SELECT 1", down=("SELECT 1",))
    plain.write(
        "everything",
        "CREATE TABLE audit (id int)",
        'ALTER TABLE box ADD COLUMN "Noted" text, ADD COLUMN empty int',
        "ALTER TABLE box ADD COLUMN twice int GENERATED ALWAYS AS (2 * id) STORED",
        "ALTER TABLE box RENAME COLUMN old TO new",
        down=(
            "ALTER TABLE box RENAME COLUMN new TO old",
            'ALTER TABLE box DROP COLUMN "Noted", DROP COLUMN empty, DROP COLUMN twice',
            "DELETE FROM box WHERE id > 8",
            "DROP TABLE audit",
        ),
    )
    migrate(worker, plain)
    execute(worker, 'UPDATE box SET "Noted" = 1 WHERE id <= 4', "INSERT INTO audit VALUES (1), (2)")
    answer = revert(worker, plain, base, "rehearsal")
    assert answer.code == 0, answer.answer
    lost = answer.answer["rehearsal"]["lost"]
    assert sorted(lost, key=str) == [
        {"what": "public.audit", "rows": 2},
        {"what": "public.box", "rows": 2},
        {"what": 'public.box."Noted"', "values": 4},
    ]
    assert "Noted" in str(execute(worker, "SELECT attname FROM pg_attribute WHERE attrelid = 'box'::regclass"))
    without = revert(worker, plain, base, "rehearsal", rehearse_on="schema").answer["rehearsal"]
    assert (without["lost"], without["has_rows"]) == ([], False)


def test_a_way_back_that_fails_does_so_in_the_rehearsal(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, down=(DROP,))
    wrong = plain.write("wrong", "CREATE TABLE w (id int)", down=("DROP TABLE w", "ALTER TABLE orders DROP COLUMN nix"))
    (plain.place / f"{wrong}.down.sql").rename(plain.place / "kept")
    migrate(worker, plain)
    (plain.place / "kept").rename(plain.place / f"{wrong}.down.sql")
    answer = revert(worker, plain, None)
    assert answer.code == 1
    assert f'in the rehearsal the migration {wrong} failed: column "nix" of relation' in answer.answer["message"]
    assert "The real database was not touched; mend the way back of" in answer.answer["hint"]
    assert execute(worker, "SELECT to_regclass('w') IS NOT NULL") == [(True,)]
    assert not rehearsals(worker)


def test_what_cannot_be_applied_again_is_not_undone(worker: Asked, plain: OfSql) -> None:
    """Whoever goes back wants to come forward again one day."""
    plain.write("add", ADD, down=(DROP, "CREATE TABLE left_behind (id int)"))
    (plain.place / "0001_add.down.sql").rename(plain.place / "kept")
    migrate(worker, plain)
    (plain.place / "kept").rename(plain.place / "0001_add.down.sql")
    answer = revert(worker, plain, None)
    assert "applied again it is another schema: column public.left_behind.id is not in" in answer.answer["message"]
    assert "noted" in columns(worker)


def test_what_the_code_does_not_have_is_told_and_not_undone(worker: Asked, application: Application) -> None:
    first = application.write("add", ADD, down=(DROP,))
    last = application.write("more", "CREATE TABLE more (id int)", down=("DROP TABLE more",))
    migrate(worker, application)
    application.forget()
    (undo,) = revert(worker, application, first, "status").answer["undo"]
    assert (undo["id"], undo["has_down"], undo["impact"]) == (last, False, "unknown")
    answer = revert(worker, application, first)
    assert f"the database has {last}, which the code does not" in answer.answer["message"]
    assert answer.answer["report"]["undo"] == [undo]
    assert revert(worker, application, last, "status").answer["undo"] == []


def test_a_changed_file_and_one_left_half_done_are_refused(worker: Asked, plain: OfSql) -> None:
    plain.write("add", ADD, down=(DROP,))
    migrate(worker, plain)
    file = plain.place / "0001_add.sql"
    file.write_text(file.read_text() + "-- changed\n")
    (undo,) = revert(worker, plain, None, "status").answer["undo"]
    assert (undo["impact"], undo["reasons"]) == ("unknown", ["its file was changed after it was applied"])
    assert "0001_add was changed after it was applied" in revert(worker, plain, None).answer["message"]


@pytest.mark.slow
def test_where_branches_meet_it_is_told_what_came_since_and_not_undone(worker: Asked, shop: Shop, place: Path) -> None:
    alembic = OfAlembic(place, shop.url)
    base = alembic.write("base", "CREATE TABLE base (id int)", down=("DROP TABLE base",))
    left = alembic.write("left", "CREATE TABLE l (id int)", down=("DROP TABLE l",))
    alembic.ids = [base]
    right = alembic.write("right", "CREATE TABLE r (id int)", down=("DROP TABLE r",))
    migrate(worker, alembic)
    both = f"{left}, {right}"
    assert revert(worker, alembic, both, "status").answer["current"] == both
    alembic.ids = ["0003"]
    meet = alembic.write("meet", down=("SELECT 1",))
    file = place / "migrations" / "versions" / f"{meet}.py"
    file.write_text(file.read_text().replace("'0003'", repr((left, right))))
    alembic.ids = ["", "", "", meet]
    last = alembic.write("last", "CREATE TABLE last (id int)", down=("DROP TABLE last",))
    migrate(worker, alembic)
    assert {one["id"] for one in revert(worker, alembic, left, "status").answer["undo"]} == {last, meet, right}
    assert [one["id"] for one in revert(worker, alembic, both, "status").answer["undo"]] == [last, meet]
    refused = revert(worker, alembic, both)
    assert refused.answer["message"] == f"{meet} has no way back"
    undone = revert(worker, alembic, meet)
    assert undone.code == 0, undone.answer
    assert undone.answer["undone"] == [last]
