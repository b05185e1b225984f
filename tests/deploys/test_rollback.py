"""A rollback as typed, on a real service with three releases and a real database that migrates."""

from __future__ import annotations

import http.server
import json
import os
import random
import re
import signal
import threading
import time
from contextlib import closing

import psycopg
import pytest
from sshd import KEYGEN, SSHD, remotes
from story import ONE, THREE, TWO, Story

from ops.stores import open_store


class Told(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def told():
    """A webhook."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        server.told = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.slow
def test_code_alone_goes_back_over_an_additive_migration_once(story: Story) -> None:
    story.release_two()
    assert story.serving() == [TWO, TWO]
    dry = story.pyinfra.type("--dry", "deploys/rollback.py")
    assert dry.code == 0, dry.stderr
    assert ONE in dry.stderr
    assert "the database stays as it is" in dry.stderr
    assert "0001_birthday" in dry.stderr
    assert max(len(line) for line in dry.stderr.splitlines()) <= 110
    assert story.serving() == [TWO, TWO]
    run = story.type("deploys/rollback.py", "--data", "reason=slow")
    assert story.serving() == [ONE, ONE]
    assert "birthday" in story.columns()
    assert f"web serves {ONE} again (before: {TWO})" in run.stderr
    again = story.type("deploys/rollback.py")
    assert "there is nothing to roll back" in again.stderr
    assert f"was rolled back to {ONE} already" in again.stderr
    assert story.serving() == [ONE, ONE]
    story.type("deploys/rollback.py", "--data", f"release={TWO}")
    assert story.serving() == [TWO, TWO]
    history = story.type("deploys/history.py")
    assert "slow" in history.stderr
    store = open_store(story.worker.store)
    reports = [store.read(one.key)[0].decode() for one in store.list("test/runs/") if one.key.endswith("-rollback.md")]
    assert len(reports) == 2
    assert "| Reason | slow |" in reports[0]
    assert ONE in reports[0] and TWO in reports[0]


@pytest.mark.slow
def test_a_breaking_migration_asks_what_becomes_of_the_database(story: Story) -> None:
    story.release_two()
    story.release_three()
    story.execute(
        "INSERT INTO customers (full_name, email) SELECT 'n', g || '@new.example' FROM generate_series(1, 5) g"
    )
    refused = story.type("deploys/rollback.py", code=1)
    assert f"0002_rename would break web {TWO}" in refused.stderr
    assert "--data database=revert" in refused.stderr
    assert story.serving() == [THREE, THREE]
    run = story.type("deploys/rollback.py", "--data", "database=restore")
    assert re.search(r"public\.customers +\d[\d,]* +\d[\d,]* +5 ", run.stderr), run.stderr
    assert story.serving() == [TWO, TWO]
    assert {"name", "birthday"} <= story.columns()
    again = story.type("deploys/rollback.py", "--data", "database=restore")
    assert "there is nothing to roll back" in again.stderr
    # What was restored once is restored again when release 3 was there in between.
    story.type("deploys/migrate.py")
    story.activate(THREE)
    story.execute("UPDATE customers SET full_name = 'wrong'")
    story.type("deploys/rollback.py", "--data", "database=restore")
    with closing(psycopg.connect(story.worker.shop.url)) as connection:
        assert connection.execute("SELECT count(*) FROM customers WHERE name = 'wrong'").fetchone() == (0,)


@pytest.mark.slow
def test_migrations_are_undone_when_that_is_asked_for(story: Story) -> None:
    story.release_two()
    story.release_three()
    story.execute("INSERT INTO customers (full_name, email) VALUES ('new', 'new@new.example')")
    story.type("deploys/rollback.py", "--data", "database=revert")
    assert story.serving() == [TWO, TWO]
    assert {"name", "birthday"} <= story.columns()
    with closing(psycopg.connect(story.worker.shop.url)) as connection:
        assert connection.execute("SELECT count(*) FROM customers WHERE name = 'new'").fetchone() == (1,)
    store = open_store(story.worker.store)
    (report,) = [store.read(one.key)[0].decode() for one in store.list("test/runs/") if one.key.endswith(".md")]
    assert "undone: `0002_rename`" in report


@pytest.mark.slow
def test_what_does_not_hold_ends_with_the_command_to_type_next_and_people_are_told(story: Story, told) -> None:
    story.release_two()
    (story.web.data / "broken").touch()
    text = story.pyinfra.inventory.read_text()
    notify = f"notify=[secret('WEBHOOK', command='echo json://127.0.0.1:{told.server_port}/a')],\n    drill="
    story.pyinfra.inventory.write_text(text.replace("drill=", notify, 1).replace("within=15", "within=4"))
    run = story.type("deploys/rollback.py", code=1)
    assert "the rollback failed: web: web_1" in run.stderr
    assert f"then type again: pyinfra {story.pyinfra.inventory} deploys/rollback.py" in run.stderr
    (notice,) = told.told
    assert notice["type"] == "failure"
    assert notice["title"] == "test: the rollback failed"
    (story.web.data / "broken").unlink()
    story.type("deploys/rollback.py")
    assert story.serving() == [ONE, ONE]
    assert "there is nothing to roll back" in story.type("deploys/rollback.py").stderr
    assert told.told[1]["title"] == "test was rolled back"


@pytest.mark.slow
def test_what_cannot_be_meant_is_one_line_and_changes_nothing(story: Story) -> None:
    story.release_two()
    before = story.state()
    for given, said in (
        (["release=2020-01-01"], "no release 2020-01-01"),
        (["service=wbe"], "Did you mean web?"),
        (["database=nonsense"], "database=nonsense is not known"),
        (["database=restore", "backup=2020-01-01T00-00-00Z"], "there is no backup 2020-01-01T00-00-00Z"),
        (["database=restore"], "that was taken at the migration base is proven"),
        (["backup=2020-01-01T00-00-00Z"], "is not needed: nothing is restored"),
        (["batch=none"], "is no number of hosts"),
    ):
        run = story.type("deploys/rollback.py", *(word for one in given for word in ("--data", one)), code=1)
        assert said in run.stderr
        assert story.state() == before


@pytest.mark.slow
def test_a_plan_that_is_refused_is_carried_out_on_no_host(story: Story, tmp_path) -> None:
    """The runner is one host, the service runs on another, which has not failed."""
    if not SSHD or not KEYGEN:
        pytest.skip("needs sshd and ssh-keygen: apt install openssh-server")
    story.release_two()
    story.release_three()
    (tmp_path / "ssh").mkdir()
    with remotes(tmp_path / "ssh", ["app-1"]) as (app,):
        text = story.pyinfra.inventory.read_text().replace('hosts="runner", programs', 'hosts="app", programs')
        text = text.replace('name="test",', 'name="test", protected=True,', 1)
        text = text.replace("Drill(jobs=2)", "Drill(jobs=2, on_protected=True)")
        story.pyinfra.inventory.write_text(f"{text}\napp = environment.group(({app.name!r}, {app.data!r}))\n")
        before = story.state()
        run = story.type("deploys/rollback.py", "--data", "database=restore", code=1)
        assert "the environment test is protected" in run.stderr
        assert story.state() == before
        run = story.type("deploys/rollback.py", "--data", "database=restore", "--data", "confirm=test")
        assert story.serving() == [TWO, TWO]


MOMENTS = 20


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_moment_something_serves_and_typed_again_it_ends_well(story: Story) -> None:
    story.release_two()
    story.release_three()
    random.seed(7)
    words = ("deploys/rollback.py", "--data", "database=restore")
    began = time.monotonic()
    story.type(*words)
    whole = time.monotonic() - began
    unfinished = 0
    for _ in range(MOMENTS):
        if story.is_back():
            story.forward_again()
        process = story.pyinfra.start("-y", *words)
        time.sleep(random.uniform(0.3, 1) * whole)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert story.answers() & {TWO, THREE}
        assert {"name", "full_name"} & story.columns()
    unfinished = story.type("deploys/history.py", "--data", "limit=100").stderr.count("unfinished")
    assert unfinished > 0
    story.type(*words)
    assert story.serving() == [TWO, TWO]
    assert "name" in story.columns()
