"""A production of thirty-odd types of columns, and how it is masked for staging."""

from __future__ import annotations

from typing import Any

from ops.masking import Constant, Expression, Json, Masked, Noise, Shift

SCHEMA = """
CREATE EXTENSION citext; CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE DOMAIN mail AS text CHECK (VALUE ~ '^[^@ ]+@[^@ ]+$');
CREATE TYPE place AS (street text, number int);
CREATE TYPE spans AS RANGE (subtype = date);
CREATE TABLE people (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email mail NOT NULL UNIQUE, login citext UNIQUE, full_name text NOT NULL, given varchar(40), family varchar(40),
    nick varchar(16) UNIQUE, code char(12), sort name, phone text, home text,
    account bigint UNIQUE, badge int UNIQUE, grade smallint, salary numeric(12, 2), ratio real, score double precision,
    bonus money, active boolean, born date, wakes time, sleeps timetz, seen timestamp, joined timestamptz,
    leave interval, token uuid UNIQUE, photo bytea, ip inet, net cidr, mac macaddr,
    settings json, profile jsonb, page xml, aliases text[], numbers int[], mails mail[], mood mood, address place,
    stay spans, words tsvector, flags bit(8), spot point, tags hstore,
    initials text GENERATED ALWAYS AS (left(full_name, 2)) STORED
);
CREATE UNIQUE INDEX people_lower ON people (lower(full_name));
CREATE TABLE letters (
    id int PRIMARY KEY, to_email mail REFERENCES people (email), account bigint REFERENCES people (account),
    body text, kind text NOT NULL
);
CREATE TABLE visits (id bigint, at timestamptz NOT NULL, person bigint REFERENCES people, agent text)
    PARTITION BY RANGE (at);
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE visits_rest PARTITION OF visits DEFAULT;
CREATE TABLE base_notes (id int, note text);
CREATE TABLE more_notes (author text) INHERITS (base_notes);
CREATE TABLE "Odd.Table" ("Odd""Column" text, "select" int);
CREATE TABLE outbox (id int, payload text);
CREATE TABLE api_keys (id int, key text);
"""
ROWS = """
INSERT INTO people (email, login, full_name, given, family, nick, code, sort, phone, home, account, badge, grade,
    salary, ratio, score, bonus, active, born, wakes, sleeps, seen, joined, leave, token, photo, ip, net, mac, settings,
    profile, page, aliases, numbers, mails, mood, address, stay, words, flags, spot, tags)
SELECT 'Person' || i || '@corp-original.test', 'Login_Orig' || i, 'Fullname Orig' || i, 'Given' || i || 'orig',
    'Family' || i || 'orig', CASE i % 3 WHEN 0 THEN 'n' || i ELSE 'Nick' || i || 'orig' END, 'CODE' || i,
    'sort' || i || 'orig', '+49 170 5550' || 1000 + i, 'Original Lane ' || 1000 + i || E'\\nBack\\\\house',
    4111000000000 + i, 700000000 + i, i, 50000.50 + i, i / 3.0, i / 7.0, 1000 + i, i % 2 = 0, date '1970-01-01' + i,
    '08:00', '22:00+02', timestamp '2026-01-01' + i * interval '1 hour',
    timestamptz '2026-01-01' + i * interval '5 hours', '3 days', md5('token' || i)::uuid,
    decode(md5('photo' || i), 'hex'), ('93.184.' || i % 200 || '.7')::inet, '93.184.216.0/24', '08:00:2b:01:02:03',
    json_build_object('theme', 'dark', 'secret', 'jsonsecret' || i),
    jsonb_build_object('city', 'Kept Town', 'phone', '+49 171 9990' || 1000 + i, 'limit', 123456000 + i, 'n', null,
        'contacts', jsonb_build_array(
            jsonb_build_object('mail', 'contact' || i || '@corp-original.test', 'kind', 'private'),
            jsonb_build_object('kind', 'none')),
        'odd', 'unlisted-orig' || i, 'deep', 'not-an-object' || i),
    ('<p>xmlorig' || i || '</p>')::xml, ARRAY['Alias' || i || 'orig', NULL, ''], ARRAY[i, 900000000 + i],
    ARRAY['array' || i || '@corp-original.test']::mail[], 'calm', ROW('Composite Orig' || i, i)::place,
    '[2026-01-01,2026-02-01)', to_tsvector('simple', 'vectororig' || i), B'10101010', '(1,2)',
    hstore('k', 'hstoreorig' || i)
FROM generate_series(1, 300) AS i;
INSERT INTO people (email, full_name) VALUES ('nulls@corp-original.test', 'Nulls Orig0');
INSERT INTO letters SELECT id, email, account, 'Dear ' || full_name || ', body-orig' || id,
    CASE id % 5 WHEN 0 THEN 'private' ELSE 'open' END FROM people;
INSERT INTO visits SELECT i, timestamptz '2025-11-01' + i * interval '1 day', 1 + i % 300, 'AgentOrig' || i
    FROM generate_series(1, 400) AS i;
INSERT INTO base_notes VALUES (1, 'note-original-1');
INSERT INTO more_notes VALUES (2, 'note-original-2', 'Author Original');
INSERT INTO "Odd.Table" VALUES ('odd-original-text', 1);
INSERT INTO outbox VALUES (1, 'outbox-original'); INSERT INTO api_keys VALUES (1, 'apikey-original');
"""
ORIGINAL = (
    *(
        "corp-original.test",
        "login_orig",
        "fullname",
        "7orig",
        "sort12orig",
        "code12",
        "5550 1012",
        "55501012",
        "5551012",
    ),
    *(
        "original lane",
        "4111000000012",
        "700000012",
        "jsonsecret",
        "9991012",
        "123456012",
        "unlisted-orig",
        "not-an-object",
    ),
    *("xmlorig", "900000012", "composite orig", "vectororig", "hstoreorig", "body-orig", "agentorig", "note-original"),
    *("author original", "odd-original", "outbox-original", "apikey-original", "94a08da1fecbb6e8b46990538c7b50b2"),
)
"""What stands in originals, in each or in some of them."""

PEOPLE: dict[str, Any] = {
    "id": "keep", "email": "fake email", "login": "fake email", "full_name": "fake name", "given": "fake first_name",
    "family": "fake last_name", "nick": "fake text", "code": "hash", "sort": "fake text", "phone": "fake phone",
    "home": "fake address", "account": "hash", "badge": "hash", "grade": Noise(percent=50), "salary": Noise(),
    "ratio": Noise(), "score": Noise(), "bonus": Noise(), "active": "keep", "born": Shift(days=40), "wakes": "keep",
    "sleeps": "null", "seen": Shift(days=5, by="id"), "joined": Shift(days=5, by="id"), "leave": "keep",
    "token": "hash", "photo": "hash", "ip": "hash", "net": "hash", "mac": "hash",
    "settings": Json(paths={"theme": "keep"}),
    "profile": Json(
        rest="keep",
        paths={"phone": "fake phone", "limit": "hash", "n": "hash", "contacts[*].mail": "fake email",
               "odd": "fake text", "deep.below": "fake text"},
    ),
    "page": Constant(value="<masked/>"), "aliases": "fake text", "numbers": "hash", "mails": "fake email",
    "mood": Constant(value="cross"), "address": Expression(sql="ROW('Masked', (address).number)::place"),
    "stay": "keep", "words": "null", "flags": Constant(value="00000000"), "spot": "keep", "tags": "null",
}  # fmt: skip
TABLES: dict[str, Any] = {
    "public.people": PEOPLE,
    "public.letters": Masked(
        without="kind = 'private'",
        columns={"id": "keep", "to_email": "fake email", "account": "hash", "body": "fake text", "kind": "keep"},
    ),
    "public.visits": {"id": "keep", "at": Shift(days=200), "person": "keep", "agent": "fake text"},
    "public.base_notes": {"id": "keep", "note": "fake text"},
    "public.more_notes": {"id": "keep", "note": "fake text", "author": "fake name"},
    'public."Odd.Table"': {'Odd"Column': "fake text", "select": "keep"},
    "public.outbox": "empty",
    "public.api_keys": "own",
}
