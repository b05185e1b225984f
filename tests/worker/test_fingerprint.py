"""Every kind of change to a schema shows in its fingerprint, under the name of what changed."""

from __future__ import annotations

import psycopg
import pytest

from ops.worker.fingerprint import canonical, differences, fingerprint

BASE = """
CREATE SCHEMA f;
CREATE TYPE f.mood AS ENUM ('sad', 'glad');
CREATE DOMAIN f.email AS text CHECK (value LIKE '%@%');
CREATE TYPE f.pair AS (a int, b text);
CREATE TYPE f.span AS RANGE (subtype = int);
CREATE TABLE f.parent (id int PRIMARY KEY, mood f.mood DEFAULT 'sad', mail f.email, note text NOT NULL);
CREATE TABLE f.child (id bigserial PRIMARY KEY, parent int REFERENCES f.parent ON DELETE CASCADE, n int CHECK (n > 0));
CREATE TABLE f.parts (at date) PARTITION BY RANGE (at);
CREATE TABLE f.part_1 PARTITION OF f.parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX note_index ON f.parent (note) WHERE note <> '';
CREATE STATISTICS f.stats ON id, note FROM f.parent;
CREATE VIEW f.seen AS SELECT id FROM f.parent;
CREATE MATERIALIZED VIEW f.stored AS SELECT id FROM f.parent;
CREATE FUNCTION f.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE PROCEDURE f.work() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE f.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE TRIGGER touched BEFORE INSERT ON f.parent FOR EACH ROW EXECUTE FUNCTION f.touch();
CREATE POLICY mine ON f.parent USING (id = 1);
CREATE RULE quiet AS ON DELETE TO f.child DO INSTEAD NOTHING;
CREATE SEQUENCE f.numbers INCREMENT 5;
"""

CHANGES = [
    ("ALTER TYPE f.mood ADD VALUE 'mad'", "type f.mood"),
    ("ALTER DOMAIN f.email SET NOT NULL", "type f.email"),
    ("ALTER DOMAIN f.email DROP CONSTRAINT email_check", "constraint f.email email_check"),
    ("ALTER TYPE f.pair ADD ATTRIBUTE c int", "column f.pair.c"),
    ("DROP TYPE f.span", "type f.span"),
    ("ALTER TABLE f.parent ALTER mood SET DEFAULT 'glad'", "column f.parent.mood"),
    ("ALTER TABLE f.parent ALTER mood DROP DEFAULT", "column f.parent.mood"),
    ("ALTER TABLE f.parent ALTER note DROP NOT NULL", "column f.parent.note"),
    ("ALTER TABLE f.parent ALTER note TYPE varchar(50)", "column f.parent.note"),
    ("ALTER TABLE f.parent ADD extra int", "column f.parent.extra"),
    ("ALTER TABLE f.parent DROP mail", "column f.parent.mail"),
    ("ALTER TABLE f.child DROP CONSTRAINT child_parent_fkey", "constraint f.child child_parent_fkey"),
    ("ALTER TABLE f.child DROP CONSTRAINT child_n_check", "constraint f.child child_n_check"),
    ("ALTER TABLE f.parent ENABLE ROW LEVEL SECURITY", "table f.parent"),
    ("ALTER TABLE f.parent SET (fillfactor = 70)", "table f.parent"),
    ("ALTER TABLE f.child SET UNLOGGED", "table f.child"),
    ("ALTER TABLE f.parts DETACH PARTITION f.part_1", "table f.part_1"),
    ("DROP INDEX f.note_index", "index f.note_index"),
    ("DROP INDEX f.note_index; CREATE INDEX note_index ON f.parent (note)", "index f.note_index"),
    ("DROP STATISTICS f.stats", "statistics f.stats"),
    ("CREATE OR REPLACE VIEW f.seen AS SELECT id + 1 - 1 AS id FROM f.parent", "view f.seen"),
    ("DROP MATERIALIZED VIEW f.stored", "view f.stored"),
    (
        "CREATE OR REPLACE FUNCTION f.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "function f.touch()",
    ),
    ("DROP PROCEDURE f.work", "function f.work()"),
    ("DROP AGGREGATE f.total(int)", "function f.total(integer)"),
    ("ALTER TABLE f.parent DISABLE TRIGGER touched", "trigger f.parent touched"),
    ("DROP TRIGGER touched ON f.parent", "trigger f.parent touched"),
    ("ALTER POLICY mine ON f.parent USING (id = 2)", "policy f.parent mine"),
    ("DROP RULE quiet ON f.child", "rule f.child quiet"),
    ("ALTER SEQUENCE f.numbers INCREMENT 6", "sequence f.numbers"),
    ("CREATE TABLE f.fresh ()", "table f.fresh"),
    ("CREATE SCHEMA g", "schema g"),
    ("CREATE EXTENSION hstore SCHEMA f", "extension hstore"),
]


@pytest.fixture
def connection(shop, postgres):
    with psycopg.connect(postgres.url(shop.name), autocommit=True) as connection:
        connection.execute(BASE)
        yield connection


def test_every_change_shows_under_its_name(connection):
    before = fingerprint(connection)
    for change, name in CHANGES:
        connection.execute("BEGIN")
        connection.execute(change)
        found = differences(before, fingerprint(connection))
        connection.execute("ROLLBACK")
        assert any(line.startswith(f"{name} ") for line in found), (change, found)
    assert fingerprint(connection) == before


def test_what_may_rightly_differ_does_not_show(connection):
    before = fingerprint(connection)
    for change in (
        "COMMENT ON TABLE f.parent IS 'new'",
        "GRANT SELECT ON f.parent TO public",
        "ALTER TABLE f.parent OWNER TO pg_database_owner",
        "INSERT INTO f.parent VALUES (1, 'sad', NULL, 'x')",
        "CREATE TEMPORARY TABLE passing (i int)",
        "CREATE PUBLICATION news FOR TABLE f.parent",
    ):
        connection.execute("BEGIN")
        connection.execute(change)
        assert differences(before, fingerprint(connection)) == [], change
        connection.execute("ROLLBACK")


def test_a_column_dropped_and_its_gap_restored_away_is_no_difference(worker):
    with psycopg.connect(worker.shop.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE gaps (a int, b int, c int); ALTER TABLE gaps DROP b")
    worker.ask("dump")
    assert worker.ask("drill").code == 0


def test_everything_of_the_base_survives_a_real_dump_and_restore(worker, connection):
    connection.execute("GRANT ALL ON SCHEMA f TO shop_owner; GRANT SELECT ON ALL TABLES IN SCHEMA f TO shop_owner")
    connection.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA f TO shop_owner")
    worker.ask("dump")
    drilled = worker.ask("drill")
    assert drilled.code == 0, drilled.answer


SPELT_OTHERWISE_AFTER_A_RESTORE = """
CREATE TABLE spelling (
    id int PRIMARY KEY,
    status varchar(20) DEFAULT 'new' CHECK (status IN ('new', 'it''s ::text (old)')),
    at timestamptz NOT NULL DEFAULT '2026-01-01 12:00:00',
    took interval DEFAULT '90 minutes',
    amount numeric(10, 2) CHECK (amount BETWEEN 0 AND 1e6)
);
CREATE INDEX spelling_index ON spelling (id) WHERE status IN ('new', 'old');
CREATE VIEW spelling_view AS SELECT id FROM spelling WHERE status IN ('new', 'old');
ALTER TABLE spelling ENABLE ROW LEVEL SECURITY;
CREATE POLICY spelling_policy ON spelling USING (status IN ('new', 'old'));
CREATE TABLE spelling_parts (at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE spelling_part PARTITION OF spelling_parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
"""


def test_what_postgresql_spells_otherwise_after_a_restore_is_no_difference(worker, postgres):
    with psycopg.connect(worker.shop.url, autocommit=True) as connection:
        connection.execute(SPELT_OTHERWISE_AFTER_A_RESTORE)
        connection.execute(f"ALTER DATABASE {worker.shop.name} SET timezone = 'Asia/Kathmandu'")
        connection.execute(f"ALTER DATABASE {worker.shop.name} SET datestyle = 'German'")
    worker.ask("dump")
    drilled = worker.ask("drill")
    assert drilled.code == 0, drilled.answer


def test_a_literal_counts_to_the_letter():
    assert canonical("((a)::text = 'x::y (z)'::text)") == "a='x::y (z)'"
    assert canonical("x = 'a'") != canonical("x = ' a'")


def test_a_database_without_the_schema_public_can_be_proven(worker):
    with psycopg.connect(worker.shop.url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other; CREATE TABLE other.t (i int); DROP SCHEMA public CASCADE")
    worker.ask("dump")
    drilled = worker.ask("drill")
    assert drilled.code == 0, drilled.answer


def test_what_the_drills_server_lacks_says_nothing_about_the_backup(worker, postgres):
    """A role that a policy names is dropped after the dump: the drill cannot be carried out, and that is all."""
    role = f"{worker.shop.name}_reader"
    with psycopg.connect(postgres.url(worker.shop.name), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}; CREATE TABLE t (i int); ALTER TABLE t OWNER TO shop_owner")
        connection.execute(f"CREATE POLICY p ON t TO {role} USING (true)")
        worker.ask("dump")
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    drilled = worker.ask("drill")
    assert drilled.code == 1
    assert f'role "{role}" does not exist' in drilled.answer["message"]
    assert "Create that role" in drilled.answer["hint"]
    assert worker.ask("list").answer["backups"][0]["state"] == "unproven"
