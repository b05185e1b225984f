"""What migrations mean for code that was written before them: what is harmless is known to be."""

from __future__ import annotations

import psycopg
import pytest

from ops.engines import Migration
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.shop import Shop
from ops.worker.impact import impacts


def impact(*sql: str, table: str = "ledger", changed: tuple[str, ...] = ()):
    """Of the last of these migrations."""
    batch = [Migration(str(number), "", "file.sql", text) for number, text in enumerate(sql)]
    return impacts(batch, table, 17, changed)[str(len(sql) - 1)]


ADDITIVE = """
CREATE TABLE n (id int PRIMARY KEY, parent int REFERENCES n, CHECK (id > 0))
CREATE TABLE n (id int REFERENCES orders ON DELETE CASCADE)
CREATE TABLE n (LIKE orders INCLUDING ALL)
CREATE TABLE part PARTITION OF orders FOR VALUES IN (1)
CREATE INDEX ON orders (note)
CREATE INDEX CONCURRENTLY i ON orders (lower(note), (data ->> 'key')) WHERE note IS NOT NULL
CREATE SCHEMA s
CREATE SEQUENCE s
CREATE TYPE mood AS ENUM ('good')
CREATE DOMAIN d AS int NOT NULL
CREATE VIEW v AS SELECT * FROM orders
CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM orders
CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE EXTENSION IF NOT EXISTS pg_trgm
ALTER TABLE orders ADD COLUMN x int
ALTER TABLE orders ADD COLUMN x int NOT NULL DEFAULT 0
ALTER TABLE orders ADD COLUMN at timestamptz NOT NULL DEFAULT now(), ADD COLUMN IF NOT EXISTS y text
ALTER TABLE orders ADD COLUMN x bigserial
ALTER TABLE orders ADD COLUMN x int GENERATED ALWAYS AS IDENTITY UNIQUE
ALTER TABLE orders ADD COLUMN x int UNIQUE
ALTER TABLE orders ADD COLUMN x text GENERATED ALWAYS AS (lower(note)) STORED
ALTER TABLE orders ADD COLUMN x int; UPDATE orders SET x = id
ALTER TABLE orders ADD COLUMN x int; CREATE UNIQUE INDEX ON orders (x, id)
ALTER TABLE orders ADD COLUMN x int; ALTER TABLE orders DROP COLUMN x
ALTER TABLE orders ADD COLUMN x int DEFAULT 0; ALTER TABLE orders ALTER COLUMN x SET NOT NULL
CREATE TABLE n (id int PRIMARY KEY); ALTER TABLE orders ADD COLUMN x int REFERENCES n
CREATE TABLE n (id int PRIMARY KEY); ALTER TABLE orders ADD COLUMN x int; ALTER TABLE orders ADD FOREIGN KEY (x) REFERENCES n
CREATE TABLE n (id int); INSERT INTO n SELECT id FROM orders; ALTER TABLE n ADD UNIQUE (id), ALTER COLUMN id SET NOT NULL
CREATE TABLE n (id int); ALTER TABLE n RENAME TO m; ALTER TABLE m RENAME COLUMN id TO key; DROP TABLE m
CREATE TABLE n (id int); CREATE TRIGGER t BEFORE INSERT ON n EXECUTE FUNCTION f(); DROP TRIGGER t ON n
CREATE TABLE n (id int); ALTER TABLE n ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON n USING (true); REVOKE ALL ON n FROM a
CREATE TABLE s.n (id int); TRUNCATE s.n; DELETE FROM s.n; WITH o AS (SELECT 1) INSERT INTO s.n SELECT * FROM o
CREATE TYPE mood AS ENUM ('good'); ALTER TYPE mood ADD VALUE 'bad'; ALTER TYPE mood RENAME VALUE 'bad' TO 'ill'
CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 2'
CREATE INDEX i ON orders (note); DROP INDEX i
CREATE TEMP TABLE orders (id int); DELETE FROM orders; DROP TABLE orders
ALTER TABLE orders ADD COLUMN x int; ALTER TABLE orders RENAME COLUMN x TO y; UPDATE orders SET y = 1
ALTER TABLE orders ALTER COLUMN note DROP NOT NULL
ALTER TABLE orders VALIDATE CONSTRAINT c
ALTER TABLE orders ALTER COLUMN note SET STATISTICS 500, SET (fillfactor = 70)
GRANT SELECT ON orders TO reader; COMMENT ON TABLE orders IS 'x'; ANALYZE orders; SET lock_timeout = '5s'; SELECT now()
""".strip().splitlines()
BREAKING = """
ALTER TABLE orders ADD COLUMN x int NOT NULL | orders.x must have a value, which old code does not give it
ALTER TABLE orders ADD COLUMN x int NOT NULL DEFAULT NULL::int | must have a value
ALTER TABLE orders ADD COLUMN x int NOT NULL DEFAULT 0; ALTER TABLE orders ALTER COLUMN x DROP DEFAULT | must have a value
ALTER TABLE orders ADD COLUMN x int; ALTER TABLE orders ALTER COLUMN x SET NOT NULL | must have a value
ALTER TABLE orders ADD COLUMN x int DEFAULT 0 UNIQUE | what old code leaves there may be refused
ALTER TABLE orders ADD COLUMN x int UNIQUE; ALTER TABLE orders ALTER x SET DEFAULT 0 | what old code leaves there may be refused
ALTER TABLE orders ADD COLUMN x int UNIQUE NULLS NOT DISTINCT | old code leaves it empty everywhere
ALTER TABLE orders ADD COLUMN x int CHECK (x > id) | is checked
ALTER TABLE orders ADD COLUMN x int GENERATED ALWAYS AS (100 / id) STORED | may fail for rows of old code
ALTER TABLE orders ADD COLUMN x int REFERENCES customers | which old code could then not delete from
ALTER TABLE orders ADD COLUMN IF NOT EXISTS x int; UPDATE orders SET x = 1 | rows are changed in orders
ALTER TABLE orders ALTER note SET NOT NULL | orders.note must have a value from now on
ALTER TABLE orders ALTER note DROP DEFAULT | another default
ALTER TABLE orders ALTER note SET DEFAULT '' | another default
ALTER TABLE orders ALTER id TYPE bigint | orders.id has another type
ALTER TABLE orders DROP COLUMN note | orders.note is gone
ALTER TABLE orders ADD CHECK (id > 0) NOT VALID | new constraint
ALTER TABLE orders ADD UNIQUE (id) | new constraint
ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES customers | new constraint
ALTER TABLE orders DROP CONSTRAINT c | ON CONFLICT of old code may name
ALTER TABLE orders ENABLE ROW LEVEL SECURITY | hides rows
ALTER TABLE orders RENAME COLUMN note TO remark | note is now called remark
ALTER TABLE orders RENAME TO purchases | orders is now called purchases
ALTER TABLE orders ADD COLUMN x int; ALTER TABLE orders RENAME CONSTRAINT x TO y | x is now called y
ALTER SCHEMA s RENAME TO t | s is now called t
ALTER FUNCTION f(int) RENAME TO g | f(int4) is now called g
CREATE TEMP TABLE orders (id int); COMMIT; DELETE FROM orders | rows are deleted from orders
ALTER TABLE orders OWNER TO somebody | old code may lose its rights
ALTER TABLE orders SET SCHEMA archive | lies in another schema
ALTER TABLE orders ATTACH PARTITION p FOR VALUES IN (1) | rows that old code does not expect
ALTER TABLE orders DETACH PARTITION p | rows that old code expects
ALTER TABLE orders DISABLE TRIGGER ALL | in a way that old code may not bear
ALTER TABLE orders REPLICA IDENTITY NOTHING | in a way that old code may not bear
ALTER VIEW v SET (security_invoker = true) | in a way that old code may not bear
CREATE TABLE n (id int REFERENCES orders) | could then not delete from
CREATE TABLE n (id int); ALTER TABLE n ADD FOREIGN KEY (id) REFERENCES orders | could then not delete from
CREATE TABLE n () INHERITS (orders) | becomes part of orders
CREATE TABLE n PARTITION OF orders (CHECK (id > 0)) FOR VALUES IN (1) | becomes part of orders
CREATE TABLE n PARTITION OF orders FOR VALUES IN (1); ALTER TABLE n ADD CHECK (id > 0) | new constraint
CREATE TABLE n (id int) PARTITION BY LIST (id); ALTER TABLE n ATTACH PARTITION orders DEFAULT | orders becomes part of n
CREATE TABLE IF NOT EXISTS n (id int); DROP TABLE n | the table n is gone
CREATE TABLE s.orders (id int); DROP TABLE orders | the table orders is gone
CREATE TABLE n (id int); SET search_path = other; DROP TABLE n | the table n is gone
CREATE TABLE n (id int); SELECT set_config('search_path', 'other', false); DROP TABLE n | the table n is gone
CREATE UNIQUE INDEX ON orders (note) | may refuse rows of old code
CREATE INDEX ON orders ((note::int)) | may fail for rows of old code
CREATE INDEX ON orders (id) WHERE 100 / id > 1 | may fail for rows of old code
DROP INDEX i | if it was unique, ON CONFLICT of old code fails without it
DROP TABLE orders; CREATE TABLE orders (id int) | the table orders is gone
DROP VIEW v | the view v is gone
DROP FUNCTION f(int) | is gone
DROP SCHEMA s CASCADE | the schema s is gone
CREATE TRIGGER t BEFORE INSERT ON orders EXECUTE FUNCTION f() | a trigger changes what happens in orders
CREATE RULE r AS ON INSERT TO orders DO INSTEAD NOTHING | a rule changes what happens in orders
CREATE POLICY p ON orders USING (true) | a policy hides rows of orders
CREATE OR REPLACE VIEW v AS SELECT 1 | the view v may have been there before
CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS '1' | may have been there before
CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS '1'; CREATE OR REPLACE FUNCTION f(a text) RETURNS int LANGUAGE sql AS '2' | before
ALTER TYPE mood ADD VALUE 'bad' | mood has values that old code does not know when it reads them
ALTER SEQUENCE s RESTART | other numbers come from s
UPDATE orders SET note = '' | rows are changed in orders
DELETE FROM orders | rows are deleted from orders
INSERT INTO orders VALUES (1) | rows are inserted into orders
TRUNCATE orders | all rows are deleted from orders
MERGE INTO orders USING other ON true WHEN MATCHED THEN DELETE | rows are changed in orders
CREATE TABLE n (id int); WITH gone AS (DELETE FROM orders RETURNING id) INSERT INTO n SELECT id FROM gone | deleted from orders
WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone | rows are deleted from orders
REVOKE SELECT ON orders FROM reader | rights are taken
""".strip().splitlines()
UNKNOWN = """
DO $$ BEGIN DROP TABLE orders; END $$ | a block of DO may do anything
CALL tidy_up() | a procedure that is called may do anything
CREATE VIEW v AS SELECT * FROM orders; DELETE FROM v | from where they may reach what is old
CREATE TABLE n (id int); CREATE TRIGGER t BEFORE INSERT ON n EXECUTE FUNCTION f(); INSERT INTO n VALUES (1) | may reach
CREATE TABLE n (id int); CREATE RULE r AS ON INSERT TO n DO ALSO DELETE FROM orders; INSERT INTO n VALUES (1) | may reach
CREATE TABLE n (id int DEFAULT tidy_up()); INSERT INTO n DEFAULT VALUES | may reach
SELECT tidy_up() | nothing is known of the function tidy_up()
SELECT shop.now() | nothing is known of the function shop.now()
CREATE TABLE n AS SELECT tidy_up(id) FROM orders | nothing is known of the function tidy_up()
ALTER TABLE orders ADD COLUMN x int DEFAULT next_one() | nothing is known
ALTER SYSTEM SET work_mem = '1GB' | this kind of statement: alter system
ALTER DATABASE shop SET search_path = other | nothing is known
CREATE PUBLICATION p FOR ALL TABLES | nothing is known
CREATE CAST (int AS mood) WITH FUNCTION f(int) AS IMPLICIT | nothing is known
CREATE TABLE n (id int); ROLLBACK | it takes back what came before
COPY orders TO PROGRAM 'true' | a file of the server
SELEC 1 | PostgreSQL's parser cannot read it
""".strip().splitlines()


@pytest.mark.parametrize("sql", ADDITIVE)
def test_what_old_code_does_not_notice_is_additive(sql: str) -> None:
    found = impact(sql)
    assert found.verdict == "additive", found
    assert found.reasons


@pytest.mark.parametrize("line", BREAKING)
def test_what_old_code_stumbles_over_is_breaking_and_it_is_said_why(line: str) -> None:
    sql, why = line.rsplit(" | ", 1)
    found = impact(sql)
    assert found.verdict == "breaking", found
    assert any(why in reason for reason in found.reasons), found


@pytest.mark.parametrize("line", UNKNOWN)
def test_what_nobody_can_tell_is_unknown(line: str) -> None:
    sql, why = line.rsplit(" | ", 1)
    found = impact(sql)
    assert found.verdict == "unknown", found
    assert any(why in reason for reason in found.reasons), found


def test_what_an_earlier_one_of_the_same_migrations_made_is_unknown_to_old_code() -> None:
    assert impact("CREATE TABLE n (id int)", "ALTER TABLE n DROP COLUMN id").verdict == "additive"
    assert impact("SELECT 1", "ALTER TABLE n DROP COLUMN id").verdict == "breaking"
    assert impact("CREATE TEMP TABLE orders (id int)", "DELETE FROM orders").verdict == "breaking"
    # Whoever leaves the search path may leave it for the next one as well.
    assert impact("CREATE TABLE n (id int)", "SET search_path = x", "DROP TABLE n").verdict == "breaking"


def test_the_bookkeeping_of_the_engine_does_not_count() -> None:
    own = "BEGIN; CREATE TABLE alembic_version (v text); UPDATE alembic_version SET v = '2' WHERE v = '1'; COMMIT;"
    assert impact(own, table="alembic_version").verdict == "additive"
    assert impact(own, table="app.alembic_version").verdict == "additive"
    assert impact("UPDATE alembic_version SET v = '2'").verdict == "breaking"
    assert impact("UPDATE other.alembic_version SET v = '2'", table="app.alembic_version").verdict == "breaking"


def test_what_is_not_known_to_be_what_was_applied_is_unknown() -> None:
    assert impact("CREATE TABLE n (id int)", changed=("0",)).reasons[0] == "its file was changed after it was applied"
    (found,) = impacts([Migration("1", "1", "")], "ledger", 17).values()
    assert (found.verdict, found.reasons[0][:27]) == ("unknown", "the code that is here does ")


def test_squawk_is_heard_on_what_seems_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    from ops.worker import table_changes

    monkeypatch.setitem(table_changes._HARMLESS, "AT_DropColumn", "a mistake of ours")
    found = impact("-- a remark\nALTER TABLE orders\n  DROP COLUMN note -- another;\n; CREATE INDEX ON orders (id)")
    assert found.verdict == "breaking"
    assert found.reasons == ("squawk says: Dropping a column may break existing clients.",)


def test_old_code_does_fail_on_what_seems_harmless_and_is_called_breaking(shop: Shop) -> None:
    """Why an index that is gone, and a foreign key from a new table, are no matters of speed alone."""
    with psycopg.connect(shop.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE keys (key int)")
        connection.execute("CREATE UNIQUE INDEX one ON keys (key)")
        old = "INSERT INTO keys VALUES (1) ON CONFLICT (key) DO NOTHING"
        connection.execute(old)
        connection.execute("DROP INDEX one")
        with pytest.raises(psycopg.errors.InvalidColumnReference):
            connection.execute(old)
        connection.execute("CREATE TABLE labels (category bigint REFERENCES categories)")
        connection.execute("INSERT INTO categories (name) VALUES ('lone')")
        connection.execute("INSERT INTO labels SELECT id FROM categories WHERE name = 'lone'")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("DELETE FROM categories WHERE name = 'lone'")


BEFORE = """
CREATE SCHEMA before; SET search_path = before; CREATE TABLE orders (id int PRIMARY KEY, note text NOT NULL DEFAULT '',
data jsonb, CONSTRAINT c CHECK (id > 0)); INSERT INTO orders VALUES (1); CREATE SCHEMA s;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE ROLE a; CREATE ROLE reader;
"""
OLD_CODE = """
INSERT INTO orders (id) VALUES (2); INSERT INTO orders VALUES (3, 'three', '{}') ON CONFLICT (id) DO NOTHING;
UPDATE orders SET note = note || 'x', id = id + 10; SELECT id, note, data FROM orders; DELETE FROM orders
"""


# For these there would have to be another table, or no transaction.
_APART = ("CREATE TABLE part ", "CREATE INDEX CONCURRENTLY", "CREATE EXTENSION", "CREATE SCHEMA")


@pytest.mark.parametrize("sql", [sql for sql in ADDITIVE if not sql.startswith(_APART)])
def test_old_code_does_go_on_after_what_is_additive(postgres: PostgresServer, sql: str) -> None:
    with psycopg.connect(postgres.url()) as connection:
        connection.execute(BEFORE)
        connection.execute(sql)
        connection.execute("SET search_path = before")
        connection.execute(OLD_CODE)
        connection.rollback()
