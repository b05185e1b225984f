"""Staging refreshed from production as typed: masked, proved, swapped in, and as it was when anything fails."""

from __future__ import annotations

import ast
import dataclasses
import os
import secrets
import signal
import time
from contextlib import closing
from pathlib import Path

import originals_scan
import psycopg
import pytest
from psycopg import sql
from pyinfra_command import CommandLine
from servers import FAST, running
from standins.neon import NeonApi

from ops import BackupOf, BranchOf, Directory, Environment, Postgres, Refresh, Rows, Sql
from ops.masking import Expression, Masked, Masking, Noise, Shift
from ops.record import runs
from ops.sandbox import masking
from ops.sandbox.postgres import PostgresServer
from ops.secrets import Secret, revealed
from ops.stores import open_store

pytestmark = pytest.mark.slow

TABLES = {**masking.TABLES, "public.api_keys": "own"}


class Staging:
    """An environment of its own beside the shop, which is its production.

    Args:
        place: for its files.
        production: the worker on production.
    """

    def __init__(self, place: Path, production) -> None:
        self.production = production
        self.shop = dataclasses.replace(production.shop, name=f"{production.shop.name}_staging")
        with closing(psycopg.connect(self.shop.server.url(), autocommit=True)) as connection:
            make = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(make.format(sql.Identifier(self.shop.name), sql.Identifier(self.shop.user)))
        self.pyinfra = CommandLine(place)
        self.migrations = place / "migrations"
        self.migrations.mkdir()
        (self.migrations / "0001_staging_only.sql").write_text("CREATE TABLE staging_only (id int PRIMARY KEY);")
        (place / "store").mkdir()
        self.store = Directory(path=str(place / "store"))
        self.describe()

    def describe(self, checks=(), tables=TABLES, **more) -> None:
        """Write the inventory."""
        source = BackupOf(environment="test", database=self.production.shop.name, store=self.production.store)
        described = {
            "name": "staging",
            "database": self.shop.description(),
            "store": self.store,
            "migrations": Sql(directory=str(self.migrations)),
            "refresh": Refresh(source=source, masking=Masking(salt="a salt of the tests", tables=tables)),
            "checks": checks,
            **more,
        }
        self.environment = Environment(**described)
        self.pyinfra.describe(self.environment, runner=["@local"])

    def type(self, *words: str):
        """Type it."""
        return self.pyinfra.run("deploys/refresh.py", *words)

    def ask(self, query: str):
        """One row of staging."""
        with closing(psycopg.connect(self.shop.url)) as connection:
            return connection.execute(query).fetchone()

    def databases(self) -> set[str]:
        """Those of this test."""
        with closing(psycopg.connect(self.shop.server.url())) as connection:
            found = connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate")
            names = {name for (name,) in found}
        return {name for name in names if name.startswith((self.shop.name, "ops_refresh_staging"))}


@pytest.fixture
def staging(tmp_path: Path, worker) -> Staging:
    """Staging with API keys of its own, and a proven backup of production with other ones."""
    with closing(psycopg.connect(worker.shop.url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE api_keys (id serial PRIMARY KEY, key text UNIQUE)")
        connection.execute("INSERT INTO api_keys (key) VALUES ('production-secret-key')")
    assert worker.ask("dump").code == 0
    assert worker.ask("drill").code == 0
    staging = Staging(tmp_path, worker)
    with closing(psycopg.connect(staging.shop.url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE api_keys (id serial PRIMARY KEY, key text UNIQUE)")
        connection.execute("INSERT INTO api_keys (key) SELECT 'staging-' || n FROM generate_series(1, 5) n")
    return staging


def test_staging_is_refreshed_once_masked_and_keeps_what_is_its_own(staging, shop):
    role = f"reader_{secrets.token_hex(4)}"
    with closing(psycopg.connect(shop.server.url(staging.shop.name), autocommit=True)) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("GRANT SELECT ON api_keys TO {}").format(sql.Identifier(role)))
    staging.describe(checks=[Rows(name="customers", query="SELECT count(*) FROM customers", at_least=10)])
    try:
        with closing(psycopg.connect(shop.url)) as production:
            (some,) = production.execute("SELECT array_agg(email::text) FROM customers WHERE id <= 50").fetchone()
        with originals_scan.Log(shop.server) as log:
            run = staging.type()
            assert not log.holding(some)
        assert run.returncode == 0, run.stderr
        assert f"is {staging.environment.refresh.source.environment}/" in run.stderr
        with closing(psycopg.connect(shop.url)) as production:
            wanted = production.execute("SELECT count(*), sum(id) FROM customers").fetchone()
            emails = {email for (email,) in production.execute("SELECT email FROM customers")}
            invoices = production.execute("SELECT last_value FROM invoice_number").fetchone()
        assert staging.ask("SELECT count(*), sum(id) FROM customers") == wanted
        with closing(psycopg.connect(staging.shop.url)) as connection:
            fakes = {email for (email,) in connection.execute("SELECT email FROM customers")}
            assert not emails & fakes
            assert len(fakes) == len(emails)
            (constraints,) = connection.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f'").fetchone()
            assert constraints >= 10
        assert staging.ask("SELECT count(*) FROM payments") == (0,)
        assert staging.ask("SELECT count(*) FROM reviews WHERE stars = 1") == (0,)
        assert staging.ask("SELECT count(*), min(key) FROM api_keys") == (5, "staging-1")
        assert staging.ask("INSERT INTO api_keys (key) VALUES ('new') RETURNING id") == (6,)
        assert staging.ask("SELECT last_value FROM invoice_number") == invoices
        assert staging.ask(f"SELECT has_table_privilege('{role}', 'api_keys', 'SELECT')") == (True,)
        assert staging.ask("SELECT to_regclass('staging_only') IS NOT NULL") == (True,)
        (kept,) = staging.databases() - {staging.shop.name}
        assert kept.startswith(f"{staging.shop.name}_before_")

        again = staging.type()
        assert again.returncode == 0, again.stderr
        assert "already: nothing to refresh" in again.stderr
        assert staging.databases() == {staging.shop.name, kept}

        run = staging.type("--data", f"backup={staging.production.ask('list').answer['backups'][0]['id']}")
        assert run.returncode == 0, run.stderr
        (now_kept,) = staging.databases() - {staging.shop.name}
        assert now_kept != kept
        assert [one.result for one in runs(open_store(staging.store), "staging", 5)][:1] == ["done"]
    finally:
        with closing(psycopg.connect(shop.server.url(), autocommit=True)) as connection:
            for name in staging.databases():
                drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                connection.execute(drop)
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_column_without_a_rule_ends_it_before_any_row_is_anywhere(staging, shop):
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        connection.execute("ALTER TABLE customers ADD COLUMN birthday date, ADD COLUMN phones text[]")
        connection.execute("SELECT lo_from_bytea(0, 'a scan of a passport')")
    assert staging.production.ask("dump").code == 0
    assert staging.production.ask("drill").code == 0
    before = staging.databases()
    run = staging.type()
    assert run.returncode == 1
    assert '"birthday": ' in run.stderr
    assert '"phones": ' in run.stderr
    assert "2 are not classified" in run.stderr
    assert "there are 1 large objects" in run.stderr
    assert "Traceback" not in run.stderr
    assert staging.databases() == before
    assert staging.ask("SELECT count(*) FROM api_keys") == (5,)


def test_large_objects_are_left_out_and_are_in_no_log(staging, shop):
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE odds (n numeric, day date)")
        connection.execute("INSERT INTO odds VALUES ('Infinity', 'infinity'), ('NaN', '0044-03-15 BC')")
        connection.execute("SELECT lo_from_bytea(0, 'a scan of a passport')")
    assert staging.production.ask("dump").code == 0
    assert staging.production.ask("drill").code == 0
    source = staging.environment.refresh.source
    tables = {**TABLES, "public.odds": {"n": Noise(percent=10), "day": Shift(days=9)}}
    masked = Masking(salt="a salt of the tests", tables=tables, large_objects="left out")
    staging.describe(refresh=Refresh(source=source, masking=masked), checks=None)
    with originals_scan.Log(shop.server) as log:
        run = staging.type()
        assert not log.holding(["a scan of a passport"])
    assert run.returncode == 0, run.stderr
    assert staging.ask("SELECT count(*) FROM pg_largeobject_metadata") == (0,)
    assert staging.ask("SELECT count(*) FROM odds WHERE n = 'Infinity' AND day = 'infinity'") == (1,)
    assert "not the refresh's doing, as it was so before: backups: newest, backups: proven" in run.stderr


def test_what_does_not_hold_after_the_swap_is_swapped_back(staging):
    staging.describe(checks=[Rows(name="payments", query="SELECT count(*) FROM payments", at_least=10)])
    run = staging.type()
    assert run.returncode == 1
    assert "the database that was there serves again" in run.stderr
    assert staging.ask("SELECT to_regclass('customers') IS NULL") == (True,)
    assert staging.ask("SELECT count(*) FROM api_keys") == (5,)


def test_a_migration_that_fails_leaves_staging_as_it_was(staging):
    (staging.migrations / "0002_broken.sql").write_text("ALTER TABLE customers ADD CONSTRAINT x CHECK (id < 0);")
    run = staging.type()
    assert run.returncode == 1
    assert "the database stayed as it was" in run.stderr
    assert "0002_broken" in run.stderr
    assert staging.ask("SELECT to_regclass('customers') IS NULL") == (True,)


def test_killed_in_the_middle_it_is_swept_away_and_done_the_next_time(staging):
    with staging.pyinfra.begun("deploys/refresh.py") as begun:
        begun.wait_until(lambda: any(name.startswith("ops_refresh_staging") for name in staging.databases()), 60)
        os.killpg(begun.process.pid, signal.SIGKILL)
    run = staging.type()
    assert run.returncode == 0, run.stderr
    names = staging.databases() - {staging.shop.name}
    assert [name.startswith(f"{staging.shop.name}_before_") for name in names] == [True]


def test_ctrl_c_leaves_neither_scratch_nor_half_a_database(staging):
    before = staging.databases()
    with staging.pyinfra.begun("deploys/refresh.py") as begun:
        begun.wait_until(lambda: any(name.startswith("ops_refresh_staging") for name in staging.databases()), 60)
        os.killpg(begun.process.pid, signal.SIGINT)
        assert begun.process.wait(60) == 130
    deadline = time.monotonic() + 60
    while staging.databases() != before:  # the worker cleans up, for which the command line does not wait
        assert time.monotonic() < deadline, staging.databases()
        time.sleep(0.1)
    assert staging.ask("SELECT count(*) FROM api_keys") == (5,)


def test_killed_after_the_swap_it_is_verified_the_next_time(staging):
    slow = Rows(name="slow", query="SELECT count(*) FROM customers, pg_sleep(60)", at_least=10)
    staging.describe(checks=[slow])
    with staging.pyinfra.begun("deploys/refresh.py") as begun:
        begun.wait_until(lambda: any("_before_" in name for name in staging.databases()), 60)
        os.killpg(begun.process.pid, signal.SIGKILL)
    staging.describe(checks=[Rows(name="customers", query="SELECT count(*) FROM customers", at_least=10)])
    run = staging.type()
    assert run.returncode == 0, run.stderr
    assert "cut before it was verified" in " ".join(run.stderr.split())
    assert "is refreshed from" in run.stderr
    assert "already: nothing to refresh" in staging.type().stderr
    assert len(staging.databases()) == 2


def test_originals_may_lie_on_another_server_meanwhile(staging, tmp_path):
    server = PostgresServer(tmp_path / "scratch", settings=FAST)
    with running(server):
        scratch = Postgres(host="127.0.0.1", port=server.port, database="postgres", user=server.user,
                           password=server.password)  # fmt: skip
        staging.describe(refresh=staging.environment.refresh.model_copy(update={"scratch": scratch}))
        with staging.pyinfra.begun("deploys/refresh.py") as begun:
            seen = set()
            while begun.process.poll() is None:
                seen |= staging.databases()
                time.sleep(0.02)
            assert begun.process.returncode == 0
        with closing(psycopg.connect(server.url())) as connection:
            left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'ops%'").fetchall()
    assert not left
    assert not [name for name in seen if name.startswith("ops_refresh")]
    assert staging.ask("SELECT count(*) FROM customers WHERE email NOT LIKE '%@example.com'") == (0,)


OWNED = """
    CREATE FUNCTION asked() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE TABLE mine (id serial PRIMARY KEY, open text, shut text);
    REVOKE ALL ON FUNCTION asked() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION asked() TO {reader};
    GRANT SELECT (open) ON mine TO {reader};
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {reader};
"""
PRODUCTION = """
    CREATE FUNCTION asked() RETURNS int LANGUAGE sql AS 'SELECT 2';
    CREATE FUNCTION powerful() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 3';
    CREATE TABLE mine (id serial PRIMARY KEY, open text, shut text);
    CREATE TABLE small (n smallint, day timestamptz); INSERT INTO small VALUES (-32768, now());
    ALTER SEQUENCE mine_id_seq RESTART WITH 5000;
    CREATE SEQUENCE alone; SELECT setval('alone', 77, false);
"""
MINE = {
    "public.mine": {"id": "keep", "open": "fake text", "shut": "fake text"},
    "public.small": {"n": "keep", "day": "keep"},
}


def superuser(shop) -> Postgres:
    """A database as its server's superuser sees it."""
    password = Secret("the superuser's password", lambda: shop.server.password)
    return shop.description().model_copy(update={"user": shop.server.user, "password": password})


def test_rows_that_a_policy_hides_from_their_owner_come_along(staging, shop):
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE hidden (id int, who text); INSERT INTO hidden VALUES (1, 'Hedwig who hides')")
        connection.execute("ALTER TABLE hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    root = revealed(superuser(shop))
    assert staging.production.ask("dump", database=root).code == 0
    assert staging.production.ask("drill", server=root).code == 0
    staging.describe(tables={**TABLES, "public.hidden": {"id": "keep", "who": "fake name"}})
    run = staging.type()
    assert run.returncode == 0, run.stderr
    with closing(psycopg.connect(shop.server.url(staging.shop.name))) as connection:
        assert connection.execute("SELECT count(*) FROM hidden WHERE who LIKE 'X%'").fetchone() == (1,)


def test_owners_and_rights_are_staging_s_and_sequences_stand_where_production_s_do(staging, shop):
    """Typed by a superuser, to whom nothing of it belongs."""
    reader = sql.Identifier(f"reader_{secrets.token_hex(4)}")
    url = shop.server.url(staging.shop.name)
    with closing(psycopg.connect(staging.shop.url, autocommit=True)) as app:
        with closing(psycopg.connect(url, autocommit=True)) as root:
            root.execute(sql.SQL("CREATE ROLE {}").format(reader))
        app.execute(sql.SQL(OWNED).format(reader=reader))
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        connection.execute(PRODUCTION)
    assert staging.production.ask("dump").code == 0
    assert staging.production.ask("drill").code == 0
    staging.describe(tables={**TABLES, **MINE}, database=superuser(staging.shop))
    try:
        run = staging.type()
        assert run.returncode == 0, run.stderr
        assert "public.powerful() runs with the rights of its owner and is new: only he may run it" in run.stderr
        migrated = "('staging_only', 'ops_migrations')"  # by who typed it
        owners = (
            f"SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN {migrated}"
        )
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            assert connection.execute(owners).fetchall() == [(shop.user,)]
            rights = sql.SQL(
                "SELECT has_function_privilege({r}, 'asked()', 'EXECUTE'), has_column_privilege({r}, 'mine', 'open',"
                " 'SELECT'), has_column_privilege({r}, 'mine', 'shut', 'SELECT'),"
                " has_function_privilege({r}, 'powerful()', 'EXECUTE')"
            ).format(r=sql.Literal(reader.as_string(None).strip('"')))
            assert connection.execute(rights).fetchone() == (True, True, False, False)
            assert connection.execute("SELECT count(*) FROM pg_default_acl").fetchone() == (1,)
        assert staging.ask("INSERT INTO mine DEFAULT VALUES RETURNING id") == (5000,)
        assert staging.ask("SELECT nextval('alone')") == (77,)
    finally:
        with closing(psycopg.connect(shop.server.url(), autocommit=True)) as connection:
            for name in staging.databases():
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {}").format(reader))


def test_what_killed_and_failed_runs_left_goes_with_the_next_that_succeeds(staging):
    passing = Rows(name="customers", query="SELECT count(*) FROM customers", at_least=10)
    staging.describe(checks=[passing.model_copy(update={"at_least": 10**9})])
    assert staging.type().returncode == 1
    assert any("_undone_" in name for name in staging.databases())
    staging.describe(checks=[passing])
    run = staging.type()
    assert run.returncode == 0, run.stderr
    good = staging.databases()
    assert len(good) == 2 and not any("_undone_" in name for name in good), good
    # What reads production's rows for proposals is killed: the originals do not stay, although nothing is refreshed.
    seen = set()
    with staging.pyinfra.begun("deploys/classify.py") as begun:
        begun.wait_until(lambda: seen.update(staging.databases()) or len(seen) > 3, 60)
        os.killpg(begun.process.pid, signal.SIGKILL)
    assert not any(name.endswith("_restored") for name in seen)
    run = staging.type()
    assert run.returncode == 0, run.stderr
    assert "nothing to refresh" in run.stderr
    assert staging.databases() == good


def test_a_protected_environment_is_never_refreshed(staging):
    text = staging.pyinfra.inventory.read_text()
    staging.pyinfra.inventory.write_text(text.replace("'protected': False", "'protected': True"))
    run = staging.type()
    assert run.returncode == 1
    assert "a protected environment is never refreshed from another" in run.stderr
    staging.describe(refresh=None)
    run = staging.type()
    assert "does not say where it is refreshed from" in run.stderr
    assert "Traceback" not in run.stderr


def test_it_can_come_from_a_branch_on_neon_which_is_gone_afterwards(staging, shop):
    with NeonApi(shop.server, shop.name, shop.user, shop.password) as neon:
        source = BranchOf(environment="test", neon=neon.described())
        masked = Masking(salt="a salt of the tests", tables=TABLES)
        staging.describe(refresh=Refresh(source=source, masking=masked))
        run = staging.type()
        assert run.returncode == 0, run.stderr
        assert neon.names() == {"main"}
        made = [request.body["branch"] for request in neon.asked("POST", "/branches")]
        assert [one["name"].startswith("ops-refresh-staging-") for one in made] == [True]
        assert "expires_at" in made[0]
        assert not neon.violations
    with closing(psycopg.connect(shop.url)) as production:
        wanted = production.execute("SELECT count(*), sum(id) FROM customers").fetchone()
    assert staging.ask("SELECT count(*), sum(id) FROM customers") == wanted
    assert staging.ask("SELECT count(*) FROM customers WHERE email NOT LIKE '%@example.com'") == (0,)


def test_rules_are_proposed_by_name_type_and_values_of_which_none_is_shown(staging, shop):
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        connection.execute(
            "CREATE TABLE contacts (id int PRIMARY KEY, state text, how text, ref text, memo text, person_id int,"
            " stars int, seller text)"
        )
        connection.execute(
            "INSERT INTO contacts SELECT n, CASE n % 2 WHEN 0 THEN 'open' ELSE 'shut' END, 'p' || n || '@corp.test',"
            " 'sk_live_0123456789abcdef' || n, 'met at the fair, wants ' || n, n, n % 5, 's' || n % 3 || '@corp.test'"
            " FROM generate_series(1, 300) n"
        )
        connection.execute("CREATE TABLE web_sessions (token uuid PRIMARY KEY, seen timestamptz)")
    assert staging.production.ask("dump").code == 0
    assert staging.production.ask("drill").code == 0
    before = staging.databases()
    run = staging.pyinfra.run("deploys/classify.py")
    assert run.returncode == 0, run.stderr
    lines = [line.strip() for line in run.stderr.splitlines()]
    assert '"id": "keep",  # integer: it numbers rows' in lines
    assert '"how": "fake email",  # text: 100% of 300 values look like e-mail addresses' in lines
    assert '"ref": "hash",  # text: 100% of 300 values look like keys or hashes' in lines
    assert '"state": "keep",  # text: 2 different values among 300: is it a kind or a state?' in lines
    assert '"memo": "fake text",  # text: a text' in lines
    assert '"person_id": "keep",  # integer: by its name it refers to rows' in lines
    assert '"stars": "keep",  # integer: 5 different values among 300: is it a kind or a state?' in lines
    assert '"seller": "fake email",  # text: 100% of 300 values look like e-mail addresses' in lines
    assert "10 columns of test/" in run.stderr
    assert '"public.web_sessions": {  # by its name: is it not rather "empty"?' in lines
    assert '"token": "hash",  # uuid: by its name it tells who somebody is' in lines
    assert "they need: from ops import Shift" in run.stderr
    assert "corp.test" not in run.stderr
    assert "sk_live" not in run.stderr
    assert staging.databases() == before


def test_a_masked_key_of_partitions_and_names_in_quotes_are_whole_as_well(staging, shop):
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE visits (at date NOT NULL) PARTITION BY RANGE (at)")
        connection.execute(
            "CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"
        )
        connection.execute("CREATE TABLE visits_rest PARTITION OF visits DEFAULT")
        connection.execute("INSERT INTO visits SELECT date '2025-11-01' + n FROM generate_series(1, 400) n")
        connection.execute('CREATE TABLE "Own.Keys" (key text)')
    with closing(psycopg.connect(staging.shop.url, autocommit=True)) as connection:
        connection.execute('CREATE TABLE "Own.Keys" (key text)')
        connection.execute("""INSERT INTO "Own.Keys" VALUES ('ours')""")
    assert staging.production.ask("dump").code == 0
    assert staging.production.ask("drill").code == 0
    staging.describe(tables={**TABLES, "public.visits": {"at": Shift(days=300)}, 'public."Own.Keys"': "own"})
    run = staging.type()
    assert run.returncode == 0, run.stderr
    assert staging.ask("SELECT count(*) FROM visits") == (400,)
    assert staging.ask('SELECT key FROM "Own.Keys"') == ("ours",)


def test_what_is_proposed_can_be_pasted_whatever_the_names_and_what_the_schema_says_is_told(staging, shop):
    with closing(psycopg.connect(shop.url, autocommit=True)) as connection:
        connection.execute('CREATE SCHEMA "Odd"; CREATE TABLE "Odd"."select" ("from" int PRIMARY KEY, "x""y" text)')
        connection.execute("CREATE TABLE nothing ()")
        connection.execute("INSERT INTO nothing SELECT FROM generate_series(1, 3)")
        connection.execute("ALTER TABLE customers ALTER COLUMN name SET DEFAULT 'Quentin Quill'")
        connection.execute("INSERT INTO customers (id, email) VALUES (70007, 'quentin.quill@corp.test')")
    assert staging.production.ask("dump").code == 0
    assert staging.production.ask("drill").code == 0
    run = staging.type()
    _, _, block = run.stderr.partition("without a rule; each is a proposal")
    lines = [line for line in block.splitlines()[1:] if line.startswith(" " * 8)]
    proposed = ast.literal_eval("{" + "\n".join(lines) + "}")
    assert proposed == {"public.nothing": {}, '"Odd".select': {"from": "keep", 'x"y': "fake text"}}
    rules = {"public.nothing": {}, '"Odd"."select"': proposed['"Odd".select']}
    staging.describe(tables={**TABLES, **rules})
    run = staging.type()
    assert run.returncode == 0, run.stderr
    assert "to be looked at: 1 of public.customers.name in the definition of column public.customers.name" in run.stderr
    assert "Quill" not in run.stderr
    assert staging.ask("SELECT count(*) FROM nothing") == (3,)


def test_what_an_index_or_a_foreign_key_does_not_take_is_said_with_what_to_do(staging, shop):
    tables = {**TABLES, "public.customers": {**TABLES["public.customers"], "email": Expression(sql="'a@example.com'")}}
    staging.describe(tables=tables)
    run = staging.type()
    assert run.returncode == 1
    assert "A rule makes the same of two values: another salt may help" in run.stderr
    without = Masked(without="id = 1", columns=TABLES["public.customers"])
    staging.describe(tables={**TABLES, "public.customers": without})
    run = staging.type()
    assert run.returncode == 1
    assert "Rows are left out (without=…, empty, own) to which these refer: leave these out too" in run.stderr
