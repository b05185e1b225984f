"""Production's rows get into another database masked: nothing of them survives, and what bound them still does."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import originals_scan
import psycopg
import pytest
from production import ORIGINAL, PEOPLE, ROWS, SCHEMA, TABLES
from psycopg import sql

from ops.database import Postgres
from ops.errors import ConfigurationError, DatabaseError, OpsError, OriginalsLeft, Unclassified
from ops.masking import Constant, Expression, Json, Masking, Noise, Shift
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.shop import Shop
from ops.worker.classify import proposed
from ops.worker.connection import connect
from ops.worker.masking.classification import classify
from ops.worker.masking.copying import Copied, mask
from ops.worker.masking.originals import survivors
from ops.worker.masking.survey import survey
from ops.worker.pulse import Pulse

SALT = "a salt of the tests 4711"


@dataclass
class Production:
    """A database with originals, and those that are made of it."""

    shop: Shop
    name: str
    logged: str = ""
    """What the server wrote into its log while it was masked, and looked at for originals."""

    def at(self, name: str | None = None) -> Postgres:
        return self.shop.description().model_copy(update={"database": name or self.name})

    def ask(self, query: str, name: str | None = None) -> list[Any]:
        with closing(connect(self.at(name))) as connection:
            return connection.execute(query).fetchall()

    def make(self, name: str) -> None:
        with psycopg.connect(self.shop.server.url(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(self.shop.user)
                )
            )

    def drop(self, name: str) -> None:
        with psycopg.connect(self.shop.server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def section(self, section: str, name: str) -> None:
        """What a restore of one section does."""
        programs = self.shop.server.bin_dir
        url = self.shop.server.url(self.name, self.shop.user, self.shop.password)
        dump = subprocess.run(
            [programs / "pg_dump", "-Fc", f"--section={section}", url], check=True, capture_output=True
        )
        into = [
            programs / "pg_restore",
            "--exit-on-error",
            "-d",
            self.shop.server.url(name, self.shop.user, self.shop.password),
        ]
        subprocess.run(into, input=dump.stdout, check=True)

    def masked(self, name: str, tables: dict[str, Any] | None = None, salt: str = SALT, jobs: int = 2) -> Copied:
        """Make a masked database, whole."""
        self.make(name)
        self.section("pre-data", name)
        masking = Masking(salt=salt, tables=tables or TABLES)
        with closing(connect(self.at())) as connection:
            keys = survey(connection)
        with Pulse(60, self.at(), name) as pulse:
            copied = mask(self.at(), self.at(name), masking, jobs, pulse, keys)
            self.section("post-data", name)
        return copied

    def scan(self, name: str, tables: dict[str, Any] | None = None, common: tuple[str, ...] = ()) -> None:
        masking = Masking(salt=SALT, tables=tables or TABLES, common=common)
        with closing(connect(self.at())) as connection:
            keys = survey(connection)
        with Pulse(60, self.at(), name) as pulse:
            survivors(self.at(), self.at(name), masking, keys, pulse)


@pytest.fixture(scope="module")
def production(postgres: PostgresServer, shop_template: Shop) -> Iterator[Production]:
    found = Production(shop_template, f"production_{secrets.token_hex(3)}")
    found.make(found.name)
    with psycopg.connect(postgres.url(found.name, found.shop.user, found.shop.password)) as connection:
        connection.execute(SCHEMA)
        connection.execute(ROWS)
    yield found
    found.drop(found.name)


@pytest.fixture(scope="module")
def staging(production: Production) -> Iterator[str]:
    """The masked database, made while the server logs every statement."""
    name = f"staging_{production.name}"
    with psycopg.connect(production.shop.server.url(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("SELECT pg_reload_conf()")
    log = production.shop.server.log
    before = log.stat().st_size
    try:
        production.masked(name)
        production.scan(name)
        production.logged = log.read_bytes()[before:].decode(errors="replace")
        with closing(connect(production.at(name))) as connection:
            connection.execute("ANALYZE")
        yield name
    finally:
        with psycopg.connect(production.shop.server.url(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET log_statement")
            connection.execute("SELECT pg_reload_conf()")
        production.drop(name)


def test_no_original_is_left_in_any_column_statistic_or_file(production, staging):
    assert originals_scan.in_columns(production.shop.server, production.name, ["fullname", "agentorig"])
    assert originals_scan.in_files(production.shop.server, production.name, ["login_orig"])
    found = originals_scan.in_columns(production.shop.server, staging, ORIGINAL)
    # The names of columns and the types' labels are no values.
    assert not [one for one in found if not one.startswith("pg_catalog.pg_proc")]
    assert not originals_scan.in_files(production.shop.server, staging, ORIGINAL)


def test_every_type_has_its_mask_and_null_and_empty_stay(production, staging):
    (row,) = production.ask(
        "SELECT to_jsonb(p) - 'page' || jsonb_build_object('ip', host(ip)) FROM people p WHERE id = 7", staging
    )
    one = row[0]
    assert one["email"].startswith("u") and one["email"].endswith("@example.com")
    assert one["full_name"].startswith("X") and one["full_name"][:2] == one["initials"]
    assert one["phone"].startswith("+999") and len(one["phone"]) == 16
    assert len(one["nick"]) == 16 and one["ip"].startswith("10.") and one["mac"].startswith("02:")
    assert one["aliases"][1:] == [None, ""] and one["aliases"][0].startswith("x")
    assert one["settings"] == {"theme": "dark"}
    profile = one["profile"]
    assert profile["city"] == "Kept Town" and profile["deep"] is None and profile["n"] is None
    assert profile["contacts"][0]["kind"] == "private" and profile["contacts"][0]["mail"].endswith("@example.com")
    assert profile["contacts"][1] == {"kind": "none"} and isinstance(profile["limit"], int)
    assert one["mood"] == "cross" and one["address"] == {"street": "Masked", "number": 7}
    assert one["words"] is None and one["tags"] is None and one["sleeps"] is None
    assert 50007.5 * 0.9 <= one["salary"] <= 50007.5 * 1.1 and one["salary"] != 50007.5
    (nulls,) = production.ask("SELECT to_jsonb(p) FROM people p WHERE id = 301", staging)
    given = {"id", "email", "full_name", "initials", "address"}  # the last is what an expression makes of any row
    assert {name for name, value in nulls[0].items() if value is not None} == given
    types = "SELECT count(DISTINCT atttypid) >= 30 FROM pg_attribute WHERE attrelid = 'people'::regclass AND attnum > 0"
    assert production.ask(types) == [(True,)]


def test_the_same_value_has_the_same_fake_everywhere_and_dates_of_one_row_keep_their_distance(production, staging):
    assert production.ask(
        "SELECT count(*) FROM letters l JOIN people p ON p.email = l.to_email"
        " AND p.account IS NOT DISTINCT FROM l.account WHERE p.id = l.id",
        staging,
    ) == production.ask("SELECT count(*) FROM letters WHERE kind <> 'private'")
    distance = "SELECT id, joined - seen FROM people ORDER BY id"
    assert production.ask(distance, staging) == production.ask(distance)
    moved = production.ask("SELECT count(*) FROM people WHERE born BETWEEN '1969-11-22' AND '1970-12-07'", staging)
    assert moved == [(300,)]
    assert production.ask(
        "SELECT count(DISTINCT badge), count(DISTINCT account), count(DISTINCT nick) FROM people", staging
    ) == [(300, 300, 300)]


def test_rows_find_their_partitions_anew_and_tables_that_are_left_out_are_empty(production, staging):
    assert production.ask("SELECT count(*) FROM visits", staging) == [(400,)]
    assert production.ask("SELECT min(at) >= '2026-01-01' FROM visits_2026", staging) == [(True,)]
    assert production.ask("SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM api_keys)", staging) == [(0, 0)]
    assert production.ask("SELECT count(*) FROM ONLY base_notes", staging) == [(1,)]
    assert production.ask("SELECT count(*) FROM letters WHERE kind = 'private'", staging) == [(0,)]


def test_the_salt_and_the_originals_are_in_no_log(production, staging):
    assert "COPY pg_temp.ops_key FROM STDIN" in production.logged and "COPY (SELECT" in production.logged
    assert SALT not in production.logged and SALT.encode().hex() not in production.logged
    assert not [text for text in ORIGINAL if text in production.logged.lower()]


def test_the_same_salt_makes_the_same_again_and_another_makes_another(production, staging):
    query = "SELECT email::text, full_name, account, profile::text, seen, salary FROM people ORDER BY id"
    other, again = f"other_{production.name}", f"again_{production.name}"
    try:
        assert production.masked(again, jobs=1).rows["public.visits"] == 400
        production.masked(other, salt="another salt of the tests")
        assert production.ask(query, again) == production.ask(query, staging)
        for mine, others in zip(production.ask(query, staging), production.ask(query, other), strict=True):
            assert mine[0] != others[0] and mine[1] != others[1]
    finally:
        production.drop(again)
        production.drop(other)


@pytest.fixture
def changed(production: Production) -> Iterator[psycopg.Connection]:
    """Changes of production's schema, which are taken back."""
    with psycopg.connect(production.shop.server.url(production.name)) as connection:
        yield connection
        connection.rollback()


def refused(connection: psycopg.Connection, tables: dict[str, Any]) -> dict[str, list[str]]:
    with pytest.raises(Unclassified) as caught:
        classify(survey(connection), Masking(salt=SALT, tables=tables))
    assert caught.value.report is not None
    return caught.value.report


NEW = {
    "text": '"fake text"', "varchar(20)[]": '"fake text"', "mail": '"fake text"', "mail[]": '"fake text"',
    "place": '"null"', "mood": '"keep"', "int4range": '"null"', "jsonb": "Json(paths={})", "hstore": '"null"',
    "bytea": '"hash"', "timestamptz": "Shift(days=30)", "int": "Noise(percent=10)", "uuid": '"hash"',
    "people": '"null"',
    "tsvector": '"null"', "bit varying": '"null"', "point": '"null"', "xml": '"null"', "daterange[]": '"null"',
}  # fmt: skip


def test_what_is_not_classified_is_printed_as_lines_to_paste_whatever_its_type(changed):
    for number, type in enumerate(NEW):
        changed.execute(f"ALTER TABLE visits ADD COLUMN new_{number} {type}")
    changed.execute("ALTER TABLE visits ADD computed int GENERATED ALWAYS AS (1) STORED")
    changed.execute("CREATE TABLE invoices (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_email text)")
    changed.execute("CREATE TABLE visits_2027 PARTITION OF visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
    changed.execute("CREATE TABLE split (id int) PARTITION BY LIST (id)")
    changed.execute("CREATE TABLE late_notes () INHERITS (more_notes)")
    changed.execute("CREATE UNLOGGED TABLE hasty (id int)")
    lines = refused(changed, TABLES)["unclassified"]
    shown = [f'    "new_{number}": {rule},  # public.visits: ' for number, rule in enumerate(NEW.values())]
    assert all(any(line.startswith(one) for line in lines) for one in shown)
    assert '    "new_3": "fake text",  # public.visits: public.mail[]' in lines
    assert '# into "public.visits":' in lines
    start = lines.index('"public.invoices": {')
    assert lines[start + 1 : start + 4] == [
        '    "id": "keep",  # public.invoices: integer',
        '    "contact_email": "fake email",  # public.invoices: text',
        "},",
    ]
    assert {'"public.split": {', '"public.late_notes": {', '"public.hasty": {'} <= set(lines)
    assert "visits_2027" not in str(lines) and "computed" not in str(lines)


def test_what_is_refused_is_said_all_at_once(changed):
    changed.execute("CREATE EXTENSION postgres_fdw")
    changed.execute(
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE elsewhere (id int) SERVER far"
    )
    changed.execute("SELECT lo_create(0)")
    tables = {
        **TABLES,
        "public.people": {
            **{name: rule for name, rule in PEOPLE.items() if name != "salary"},
            "gone": "keep", "email": "null", "initials": "keep", "grade": "fake email", "full_name": "fake first_name",
            "code": "fake email", "mood": Noise(), "wakes": Shift(), "seen": Shift(by="nobody"), "given": Json(),
            "badge": Noise(), "family": Constant(value="y" * 41),
        },
        "public.letters": {"id": "keep", "to_email": "hash", "account": "keep", "body": "null", "kind": "null"},
        "public.visits_2026": {"id": "keep"},
        "public.nothing": "empty",
        "public.outbox": "remote",
    }  # fmt: skip
    report = refused(changed, tables)
    assert report["unclassified"] == [
        '"public.elsewhere": "remote",  # a foreign table',
        '# into "public.people":',
        '    "salary": Noise(percent=10),  # public.people: numeric(12,2)',
    ]
    assert [line.partition(":")[0] for line in report["stale"]] == [
        '"public.visits_2026"',
        '"public.nothing"',
        '"gone"',
    ]
    unfit = "\n".join(report["unfit"])
    for said in (
        "public.people.email: it must not be NULL",
        "public.people.initials: PostgreSQL computes it",
        "public.people.grade: fake email does not fit smallint",
        "public.people.code: fake email needs 29 characters",
        "public.people.mood: noise does not fit public.mood",
        "public.people.wakes: shift does not fit time without time zone",
        "public.people.seen: there is no column nobody",
        "public.people.given: json does not fit",
        "public.people.family: the constant is longer than character varying(40)",
        "badge must be unique, and would not be: badge (noise)",
        "full_name must be unique, and would not be: full_name (fake first_name)",
        "public.letters.account (keep) refers to public.people.account (hash): both need the same rule",
        "public.outbox is no foreign table",
        "1 large objects",
        "public.letters.kind: it must not be NULL",
    ):
        assert said in unfit, said


def test_a_constraint_that_a_mask_breaks_is_one_line_without_a_value(production):
    tables = {**TABLES, "public.people": {**PEOPLE, "mails": "fake text"}}
    name = f"broken_{production.name}"
    try:
        with pytest.raises(DatabaseError) as caught:
            production.masked(name, tables)
        assert caught.value.problem.startswith("public.people")
        assert "CheckViolation (23514), constraint mail_check" in caught.value.problem
        assert "@" not in str(caught.value)
    finally:
        production.drop(name)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"mood": {"kind": "constant", "value": "furious"}}, "public.people cannot be masked"),
        ({"home": {"kind": "expression", "sql": "nothing_of(home)"}}, "public.people cannot be masked"),
    ],
)
def test_a_rule_that_postgresql_cannot_read_stops_it_before_a_row_is_copied(production, rules, said):
    name = f"unread_{production.name}"
    try:
        with pytest.raises(DatabaseError, match=said):
            production.masked(name, {**TABLES, "public.people": {**PEOPLE, **rules}})
        assert production.ask("SELECT count(*) FROM visits", name) == [(0,)]
    finally:
        production.drop(name)


def test_an_original_that_a_kept_column_holds_is_found_wherever_it_stands(production):
    """In a text among others, in JSON, in an array; and not what is said to be common."""
    tables = {
        **TABLES,
        "public.letters": {"id": "keep", "to_email": "fake email", "account": "hash", "body": "keep", "kind": "keep"},
        "public.people": {**PEOPLE, "mails": "keep", "tags": "keep", "profile": "keep", "given": "keep"},
    }
    name = f"leaky_{production.name}"
    try:
        production.masked(name, tables)
        with pytest.raises(OriginalsLeft) as caught:
            production.scan(name, tables)
        assert caught.value.report == {"survivors": ["301 of public.people.full_name in public.letters.body"]}
        assert "Orig" not in str(caught.value)
        production.scan(name, tables, common=("public.letters.body",))
    finally:
        production.drop(name)


def test_a_salt_that_is_too_short_is_refused(production):
    name = f"short_{production.name}"
    try:
        with pytest.raises(ConfigurationError, match="fewer than 16 characters"):
            production.masked(name, salt="short")
    finally:
        production.drop(name)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"public.a": {"id": "kep"}}, "'kep' is no rule"),
        ({"public.a": "emptied"}, "'emptied' is no rule of a table"),
        ({"public.a": {"id": {"kind": "json", "paths": {"a..b": "keep"}}}}, "'a..b' is no path"),
        ({"public.a": {"id": {"kind": "json", "paths": {"a": "hash", "a.b": "keep"}}}}, "a.b lies below a"),
    ],
)
def test_a_mistake_in_the_inventory_is_one_line(tables, said):
    with pytest.raises(OpsError, match=said):
        Masking(salt=SALT, tables=tables)


KEYS = """
    CREATE TABLE keys (code varchar(9) UNIQUE, street text UNIQUE, on_day date, no numeric(9), email varchar(20),
                       api_key varchar(4), UNIQUE (on_day, no));
    CREATE TABLE uses (who text REFERENCES keys (street), mail varchar(9) REFERENCES keys (code));
"""


def test_a_foreign_table_is_told_from_others_and_what_a_hash_cannot_keep_is_refused(changed):
    changed.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw")
    changed.execute(
        "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE away (id int) SERVER away"
    )
    changed.execute("CREATE TABLE wide (id bigint PRIMARY KEY, code varchar(40) UNIQUE, ip inet UNIQUE)")
    changed.execute("CREATE TABLE narrow (id int REFERENCES wide, code varchar(20) REFERENCES wide (code))")
    tables = {
        **TABLES,
        "public.away": "remote",
        "public.wide": {"id": "hash", "code": "hash", "ip": "hash"},
        "public.narrow": {"id": "hash", "code": "hash"},
    }
    report = refused(changed, tables)
    unfit = "\n".join(report["unfit"])
    assert "away" not in unfit
    assert "public.narrow.id (integer) refers to public.wide.id (bigint), of which hash makes another" in unfit
    assert "public.narrow.code (character varying(20)) refers to public.wide.code (character varying(40))" in unfit
    assert "public.wide.ip: a hash would not stay unique in inet" in unfit


@pytest.mark.parametrize("expression", ["unnest(ARRAY[1, 2])::text", "generate_series(1, 2)"])
def test_an_expression_that_gives_more_rows_or_fewer_is_refused(production, expression):
    name, tables = (
        f"rows_{production.name}",
        {**TABLES, "public.outbox": {"id": "keep", "payload": Expression(sql=expression)}},
    )
    try:
        with pytest.raises(DatabaseError, match="gives not just one value for each row"):
            production.masked(name, tables)
    finally:
        production.drop(name)


def test_what_is_proposed_fits(production, shop):
    with psycopg.connect(shop.url) as connection:
        connection.execute(KEYS)
    for name in (production.name, shop.name):
        with closing(connect(production.at(name))) as connection:
            found = survey(connection)
            lines, _ = proposed(connection, found, Masking(salt=SALT, tables={}))
        given = {"Json": Json, "Noise": Noise, "Shift": Shift}
        tables = eval("{" + "\n".join(lines) + "}", given)  # as it is pasted
        classify(found, Masking(salt=SALT, tables=tables, large_objects="left out"))
