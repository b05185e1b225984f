"""What becomes of each fault. Whatever it is: never a success, nothing new listed, and the next run finds all in order."""

from __future__ import annotations

from typing import Any

import breakages as when
import pytest
from harness import Site

from ops.errors import (
    BackupDamaged,
    BackupMissing,
    DatabaseError,
    DatabaseUnreachable,
    StoreDenied,
    StoreMissing,
    StoreUnreachable,
    ToolError,
)

pytestmark = pytest.mark.slow

DUMP = r"/database\.dump"
FAULTS = [
    # the fault                          the breakage                            verb     what is answered     in which words
    ("wrong password",                   when.wrong_password,                    "dump",  DatabaseUnreachable, "password authentication failed .* Check the password"),
    ("wrong password",                   when.wrong_password,                    "drill", DatabaseUnreachable, "password authentication failed .* Check the password"),
    ("unknown host",                     when.unknown_host,                      "dump",  DatabaseUnreachable, "no-such-host.invalid.*Check the host name"),
    ("unknown host",                     when.unknown_host,                      "drill", DatabaseUnreachable, "no-such-host.invalid.*Check the host name"),
    ("nobody listens",                   when.closed_port,                       "dump",  DatabaseUnreachable, "Connection refused.*Is the server running"),
    ("nobody listens",                   when.closed_port,                       "drill", DatabaseUnreachable, "Connection refused.*Is the server running"),
    ("no such database",                 when.missing_database,                  "dump",  DatabaseUnreachable, 'database "nowhere" does not exist.*Check the names'),
    ("a table that may not be read",     when.forbidden_table,                   "dump",  DatabaseError,       "permission denied for table private.*Grant"),
    ("a table dropped at the start",     when.table_dropped_at_the_start,        "dump",  DatabaseError,       "dropped while the backup began.*doomed.*Run this again"),
    ("the database dropped meanwhile",   when.database_dropped,                  "dump",  None,                "terminat|closed|exist"),
    ("pg_dump's connection terminated",  when.connection_terminated,             "dump",  ToolError,           "pg_dump failed.*(terminating connection|server closed the connection)"),
    ("no pg_dump but an old one",        when.no_pg_dump_but_an_old_one,         "dump",  ToolError,           r"17 or newer is installed \(found: .*11.22 .*Install postgresql-client-17"),
    ("a pg_dump older than it says",     when.pg_dump(
        "echo 'pg_dump: error: aborting because of server version mismatch' >&2; exit 1"), "dump", ToolError,  "version mismatch.*Install the client tools"),
    ("pg_dump writes nothing",           when.pg_dump("exit 0"),                 "dump",  ToolError,           "pg_dump wrote nothing"),
    ("pg_dump writes garbage",           when.pg_dump("echo It works!"),         "dump",  ToolError,           "pg_dump wrote something that is no dump"),
    ("pg_dump ends early, and says so",  when.pg_dump(
        '"$real" "$@" | head -c 20000; exit 1'),                                 "dump",  ToolError,           "pg_dump failed with exit code 1"),
    ("pg_dump kills itself",             when.pg_dump('"$real" "$@"; kill -9 $$'), "dump", ToolError,          "pg_dump was killed by signal 9"),
    ("pg_restore does nothing",          when.pg_restore("exit 0"),              "drill", BackupDamaged,       "differs: table .* is missing"),
    ("pg_restore fails",                 when.pg_restore(
        "echo 'pg_restore: error: could not execute query' >&2; exit 1"),        "drill", ToolError,           "could not be carried out: .*could not execute query"),
    ("the drill's disk is full",         when.pg_restore(
        "echo 'pg_restore: error: could not extend file: No space left on device' >&2; exit 1"), "drill", ToolError, "No space left.*Free disk space"),
    ("wrong secret key",                 when.wrong_secret_key,                  "dump",  StoreDenied,         "refused .*secret access key"),
    ("wrong secret key",                 when.wrong_secret_key,                  "check", StoreDenied,         "refused .*secret access key"),
    ("no such bucket",                   when.missing_bucket,                    "list",  StoreMissing,        "no bucket no-such-bucket.*Create it"),
    ("nobody listens at the store",      when.unreachable_store,                 "list",  StoreUnreachable,    "no connection .*endpoint and the network"),
    ("500 for the lock",                 when.proxy(("PUT", "lock"), answer=500, code="InternalError"), "dump", StoreUnreachable, "500 InternalError after several tries. Try again"),
    ("503 for the dump",                 when.proxy(("PUT", DUMP), answer=503),  "dump",  StoreUnreachable,    "503 SlowDown after several tries"),
    ("500 for the manifest",             when.proxy(("PUT", "manifest"), answer=500, code="InternalError"), "dump", StoreUnreachable, "manifest.json.*500 InternalError"),
    ("403 for the manifest",             when.proxy(("PUT", "manifest"), answer=403, code="AccessDenied"), "dump", StoreDenied, "manifest.json.*AccessDenied"),
    ("507 for the dump: disk full",      when.proxy(("PUT", DUMP), answer=507, code="InsufficientStorage"), "dump", StoreUnreachable, "507 InsufficientStorage"),
    ("closed in mid-body of the dump",   when.proxy(("PUT", DUMP), cut_request=1000), "dump", StoreUnreachable, "no connection"),
    ("done, but every answer is lost",   when.proxy(("PUT", "manifest"), cut_answer=0), "dump", None,           "manifest.json"),
    ("500 for every GET",                when.proxy(("GET", ""), answer=500, code="InternalError"), "check", StoreUnreachable, "500 InternalError"),
    ("closed in mid-body, again and again", when.proxy(("GET", DUMP), cut_answer=0), "check", StoreUnreachable, "no connection .*closed"),
    ("closed in mid-body, again and again", when.proxy(("GET", DUMP), cut_answer=0, reset=True), "drill", StoreUnreachable, "no connection"),
    ("the verification is refused",      when.proxy(("PUT", "verification"), answer=403, code="AccessDenied"), "drill", StoreDenied, "verification.json.*AccessDenied"),
    ("the store loses the object",       when.proxy(("PUT", DUMP), answer=200),  "dump",  BackupDamaged,       "has 0 bytes of .*database.dump, .* Do not trust this store"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("breakage", "verb", "error", "words"),
    [row[1:] for row in FAULTS],
    ids=[f"{name}: {verb}" for name, _, verb, *_ in FAULTS],
)
def test_never_a_success_and_always_one_line(site: Site, breakage: Any, verb: str, error: Any, words: str):
    if verb != "dump":
        site.dump()
    known = site.states()
    with breakage(site) as broken:
        run = broken.ask(verb)
    run.refuses(error, words)
    site.keeps_its_word(known)
    if (verb, error) != ("drill", BackupDamaged):
        assert site.states() == known
    id = site.recovers()
    if verb == "drill" and error is not DatabaseUnreachable:
        site.proves(id)


ENDURED = [
    ("one 503 for each",           when.proxy(("PUT", DUMP), ("PUT", "manifest"), ("GET", DUMP), answer=503, times=1)),
    ("one answer lost for each",   when.proxy(("PUT", DUMP), ("PUT", "manifest"), ("GET", DUMP), cut_answer=0, times=1)),
    ("slow",                       when.proxy(("PUT", DUMP), ("GET", DUMP), rate=100_000)),
    ("broken off again and again", when.proxy(("PUT", DUMP), ("GET", DUMP), cut_answer=40_000, times=1)),
]  # fmt: skip


@pytest.mark.parametrize("breakage", [row[1] for row in ENDURED], ids=[row[0] for row in ENDURED])
def test_what_passes_is_endured(site: Site, breakage: Any):
    with breakage(site) as broken:
        id = broken.ask("dump").succeeds()["backup"]["id"]
        broken.ask("check").succeeds()
    assert site.states() == {id: "unproven"}
    site.proves(id)


def test_there_is_nothing_to_drill_where_no_backup_is(site: Site):
    for verb in ("check", "drill", "restore"):
        site.ask(verb).refuses(BackupMissing, "no sound backup .*deploys/backup.py")
    assert site.scratch_databases() == []
