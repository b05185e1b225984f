"""The picture of an environment as an operator sees it: on one screen, by rights that change nothing."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, Typed
from standins.cloudflare import ACCOUNT, BASE, TOKEN, CloudflareApi, now_ms
from standins.server import Answer, Request, StandIn
from trouble import Trouble, only_reading

from ops import record
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.shop import Shop
from ops.stores import open_store

pytestmark = pytest.mark.slow

SECRET = "alice@example.com"


class StatusPage(StandIn):
    """A status page whose indicator is what ``indicator`` says."""

    indicator = "none"

    def answer(self, request: Request) -> Answer:
        status = {"indicator": self.indicator, "description": "All is said here"}
        return Answer(200, {"page": {"name": "Upstream"}, "status": status, "components": [], "incidents": []})


@pytest.fixture
def cloud() -> Iterator[CloudflareApi]:
    with CloudflareApi() as cloud:
        yield cloud
    assert not cloud.violations


@pytest.fixture
def page() -> Iterator[StatusPage]:
    with StatusPage() as page:
        yield page


@pytest.fixture
def trouble(shop: Shop) -> Iterator[Trouble]:
    found = Trouble(shop.url)
    yield found
    found.end()


class Described:
    """An environment with an nginx, a worker on a cloud, queues and an upstream.

    Args:
        pyinfra: the command line, whose inventory is added to.
        place: where the nginx is.
        cloud: where its worker and its queues are.
        page: of its upstream.
    """

    def __init__(self, pyinfra: CommandLine, place: Path, cloud: CloudflareApi, page: StatusPage) -> None:
        self.pyinfra = pyinfra
        self.log = place / "error.log"
        self.log.touch()
        (place / "nginx.conf").write_text("events {}\n")
        (place / "versions" / "releases").mkdir(parents=True)
        self.add(
            f"""
    protected=True,
    services=[
        Nginx(name="edge", hosts="runner", configuration="{place}/nginx.conf", versions="{place}/versions",
              pid="{place}/nginx.pid", error_log="{self.log}"),
        Workers(name="web", account="{ACCOUNT}", script="web", token=secret("TEST_TOKEN"), api="{cloud.url}{BASE}"),
    ],
    queues=Queues(account="{ACCOUNT}", token=secret("TEST_TOKEN"), api="{cloud.url}{BASE}"),
    checks=[Upstream(name="payments", url="{page.url}"), Backlog(queue="jobs", at_most=1)],"""
        )
        pyinfra.secrets["TEST_TOKEN"] = TOKEN

    def add(self, lines: str) -> None:
        """Lines of the environment's description."""
        text = self.pyinfra.inventory.read_text()
        names = "Backlog, Nginx, Queues, Upstream, Workers, secret"
        text = text.replace("Retention, secret", f"Retention, {names}").replace(
            "    retention=", f"{lines}\n    retention="
        )
        self.pyinfra.inventory.write_text(text)

    def errors(self, *lines: str) -> None:
        """Write into nginx's log, now."""
        now = datetime.now().astimezone()
        with self.log.open("a") as log:
            log.writelines(f"{now:%Y/%m/%d %H:%M:%S} {line}\n" for line in lines)

    def triage(self, *words: str) -> Typed:
        return self.pyinfra.type("-y", "deploys/triage.py", *words)


@pytest.fixture
def described(pyinfra: CommandLine, tmp_path: Path, cloud: CloudflareApi, page: StatusPage) -> Described:
    cloud.log.clear()
    return Described(pyinfra, tmp_path, cloud, page)


def screen(typed: Typed) -> list[str]:
    """The picture's own lines."""
    lines = [line.rstrip() for line in typed.stderr.splitlines()]
    begin = next(number for number, line in enumerate(lines) if line.startswith("    triage of "))
    end = next(number for number, line in enumerate(lines) if number > begin and line.startswith(("    [", "-->")))
    return [line[4:] for line in lines[begin:end]]


def said(lines: list[str], words: str) -> str:
    return next((line for line in lines if words in line), f"nothing of {words} in: {lines}")


@pytest.mark.slow
def test_all_of_it_is_on_one_screen_for_a_role_that_can_only_read(
    described, trouble, postgres, shop, cloud, page, store_s3
):
    described.errors(
        f'[error] 7#7: *1 connect() failed (111: Connection refused), client: 10.0.0.1, user: "{SECRET}"',
        f'[error] 7#7: *2 connect() failed (111: Connection refused), client: 10.0.0.2, user: "{SECRET}"',
        "[notice] 7#7: signal process started",
    )
    long_ago = f"{datetime.now() - timedelta(days=1):%Y/%m/%d %H:%M:%S}"
    described.log.write_text(f"{long_ago} [emerg] 7#7: bind() failed\n{described.log.read_text()}")
    cloud.log.append({"timestamp": now_ms() - 1000, "$metadata": {"message": f"Error: no user {SECRET} in order 17"}})
    cloud.messages[cloud.queues[1]["queue_id"]] += [now_ms() - 90_000, now_ms()]
    cloud.queues[0]["settings"]["delivery_paused"] = True
    page.indicator = "major"
    store = open_store(store_s3)
    run = record.Run(
        "2026-11-21T10-00-00Z-restart", "test", "ann@laptop", "0", None, "restart", {"service": "web"},
        "new certificate", "2026-11-21T10:00:00Z", "done",
    )  # fmt: skip
    store.write(run.key, record.dumped(run.to_json()))
    record.write_release(store, run, record.Release("web", "2026-11-20", "0042", "2026-11-21T10:00:05Z", ""))
    session = trouble.session("batch")
    session.execute("CREATE TABLE wide (id int, what text) WITH (autovacuum_enabled = false)")
    session.execute("INSERT INTO wide SELECT i, md5(i::text) FROM generate_series(1, 40000) i")
    session.execute("CREATE INDEX wide_what ON wide (what); CREATE INDEX wide_id ON wide (id)")
    session.execute("CREATE INDEX wide_id_again ON wide (id)")
    session.execute("DELETE FROM wide WHERE id > 30000")
    session.execute("SELECT pg_stat_force_next_flush()")
    console = trouble.session("console", autocommit=False)
    console.execute(f"UPDATE customers SET name = '{SECRET}' WHERE id = 7")
    trouble.waits("api", f"UPDATE customers SET name = '{SECRET}' WHERE id = 7")
    trouble.waits("migration", "ALTER TABLE customers ADD COLUMN more integer")
    before = [entry.key for entry in store.list()]
    with only_reading(postgres, shop.name) as reader:
        described.pyinfra.secrets["TEST_DATABASE_URL"] = postgres.url(shop.name, reader.user, reader.password.reveal())
        seen = described.triage()
        as_json = json.loads(described.triage("--json").stdout)
    assert seen.code == 0, seen.stderr
    lines = screen(seen)
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert SECRET not in seen.stderr + json.dumps(as_json)
    assert said(lines, "  idle in transaction").split()[3:5] == ["console", "1"]
    assert f"{console.info.backend_pid} shop_owner (console)" in said(lines, "the oldest transaction is")
    assert "waiting for locks: 2 sessions" in lines
    assert re.match(r"  └─ \d+ shop_owner \(api\) waits \d+s for a row of customers: UPDATE", said(lines, "└─"))
    assert re.match(r"     └─ \d+ shop_owner \(migration\) waits", said(lines, "   └─"))
    kill = f"pyinfra test deploys/treat.py --data terminate={console.info.backend_pid} --data confirm=test"
    assert said(lines, "to end ").endswith(kill)
    assert "errors in the logs since 1h: 3" in lines
    assert said(lines, "connect() failed").split()[:3] == ["2", "edge", "@local"]
    assert said(lines, "Error: no user <email> in order #").split()[:3] == ["1", "web", "workers"]
    assert "bind()" not in seen.stderr
    assert "queues: 2, in which 2 messages wait; paused: jobs-2" in lines
    assert said(lines, "jobs ").split()[:2] == ["jobs", "2"]
    assert said(lines, "FAIL payments").startswith("  FAIL payments: All is said here")
    assert said(lines, "FAIL queue jobs").startswith("  FAIL queue jobs: depth: 2 messages (must be ≤ 1 messages)")
    assert "at work on it: nobody" in lines
    assert said(lines, "restart").split()[:5] == [
        "2026-11-21T10:00:00Z",
        "restart",
        "service=web",
        "ann@laptop",
        "done",
    ]
    assert said(lines, "2026-11-20").split() == ["2026-11-21T10:00:05Z", "web", "2026-11-20", "0042"]
    assert said(lines, "slow statements").startswith("slow statements: not counted here. To have them counted: ")
    assert "deploys/treat.py --data vacuum=wide" in said(lines, "tables to which autovacuum")
    assert said(lines, "  wide ").split()[3:5] == ["10,000", "40,000"]
    assert said(lines, "wide_id_again").endswith("wide_id is the same")
    assert said(lines, "wide_what").endswith("never read")
    assert [entry.key for entry in store.list()] == before, "nothing is written"
    assert all(request.method == "GET" or "telemetry" in request.path for request in cloud.requests)
    picture = as_json["results"]["triage"]
    assert [one["depth"] for one in picture["blocked"]["found"]] == [0, 1, 2]
    assert picture["queues"]["found"][0] == {**picture["queues"]["found"][0], "queue": "jobs", "messages": 2}


def test_an_environment_in_which_all_is_well_has_little_to_say(described):
    seen = described.triage()
    assert seen.code == 0, seen.stderr
    lines = screen(seen)
    assert len(lines) < 20
    for line in (
        "waiting for locks: nobody",
        "errors in the logs since 1h: none",
        "queues: 2, all empty",
        "at work on it: nobody",
        "last runs: none on record",
        "indexes that nobody needs: none",
    ):
        assert line in lines
    assert said(lines, "well:").startswith("  well: payments, queue jobs: delivery")


def test_what_cannot_be_seen_is_unknown_and_hides_nothing_else(described, cloud, page):
    described.log.unlink()
    described.pyinfra.secrets["TEST_TOKEN"] = "wrong-token"
    url = described.pyinfra.secrets["TEST_DATABASE_URL"]
    described.pyinfra.secrets["TEST_DATABASE_URL"] = re.sub(r"(127\.0\.0\.1):\d+", r"\1:1", url)
    seen = described.triage()
    assert seen.code == 1
    assert "Traceback" not in seen.stderr
    lines = screen(seen)
    assert "Connection refused" in said(lines, "database: unknown")
    whole = " ".join(line.strip() for line in lines)
    assert re.search(r"log of edge on @local: unknown: @local: \S+error.log cannot be read", whole)
    assert "log of web: unknown: Cloudflare answered 403" in whole
    assert "queues: unknown: Cloudflare answered 403" in whole
    assert "at work on it: nobody" in lines
    assert "last runs: none on record" in lines
    assert said(lines, "well:") == "  well: payments"
    for part in ("database", "queues", "log of edge on @local", "log of web"):
        assert part in said(seen.lines, "not all of test could be seen")
    for secret in ("wrong-token", *(value for value in described.pyinfra.secrets.values() if value != "jobs")):
        assert secret not in seen.stderr


def test_a_store_that_is_down_hides_only_what_lies_in_it(described):
    text = described.pyinfra.inventory.read_text()
    described.pyinfra.inventory.write_text(re.sub(r'endpoint="[^"]*"', 'endpoint="http://127.0.0.1:1"', text))
    seen = described.triage()
    assert seen.code == 1
    lines = screen(seen)
    assert "unknown" in said(lines, "last runs: unknown")
    assert "unknown" in said(lines, "at work on it: unknown")
    assert "waiting for locks: nobody" in lines


def test_a_secret_of_the_store_that_is_missing_hides_only_what_lies_in_it(described):
    del described.pyinfra.secrets["TEST_SECRET_KEY"]
    seen = described.triage()
    assert seen.code == 1
    lines = screen(seen)
    assert "the secret TEST_SECRET_KEY is missing" in said(lines, "last runs: unknown")
    assert "waiting for locks: nobody" in lines


def test_who_may_not_see_others_is_told_what_to_grant(described, postgres: PostgresServer, shop: Shop):
    import psycopg

    with psycopg.connect(postgres.url(shop.name), application_name="of the superuser"):
        seen = described.triage()
    assert seen.code == 1
    lines = screen(seen)
    assert said(lines, "sessions are hidden").endswith('In psql: GRANT pg_monitor TO "shop_owner"')
    assert "not all of test could be seen: the sessions of other roles" in said(seen.lines, "not all of test")


@pytest.mark.slow
def test_a_database_that_does_not_answer_keeps_nothing_else_from_being_seen(described):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = described.pyinfra.secrets["TEST_DATABASE_URL"]
        port = silent.getsockname()[1]
        described.pyinfra.secrets["TEST_DATABASE_URL"] = re.sub(r"(127\.0\.0\.1):\d+", rf"\1:{port}", url)
        began = time.monotonic()
        seen = described.triage()
        assert time.monotonic() - began < 60
    assert seen.code == 1
    lines = screen(seen)
    assert "timeout" in said(lines, "database: unknown")
    assert "queues: 2, all empty" in lines


def test_a_lock_that_is_held_is_shown_with_its_holder(described, store_s3):
    from ops.lock import Lock

    with Lock(open_store(store_s3), "test/lock", "ann@laptop", "migrate (new columns)"):
        lines = screen(described.triage())
    assert re.match(r"at work on it: ann@laptop since \S+ for migrate \(new columns\)$", said(lines, "at work on it"))


def test_the_plan_shows_and_changes_nothing(described):
    typed = described.pyinfra.type("--dry", "deploys/triage.py")
    assert typed.code == 0, typed.stderr
    assert "triage of" not in typed.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "since=yesterday"], "'yesterday' is no duration. Write 90s, 15m, 20h, 7d or 2w"),
        (["--data", "slow=5"], "5 is no duration"),
        (["--data", "limit=5"], "triage.py has no option limit"),
    ],
)
def test_what_cannot_be_meant_is_one_line(described, words, told):
    typed = described.triage(*words)
    assert typed.code == 1
    assert told in typed.stderr
    assert "Traceback" not in typed.stderr


def test_the_database_s_picture_is_a_fact_as_well(described):
    typed = described.pyinfra.type("--json", "fact", "ops.facts.triage.DatabasePicture")
    found: Any = json.loads(typed.stdout)
    assert typed.code == 0, typed.stderr
    assert '"blocked": {"found": []' in json.dumps(found)
