"""The same error is one kind, whatever values are in it; what is no error is none."""

from __future__ import annotations

import time

import pytest

from ops.error_kinds import LENGTH, kinds

JOURNAL = "2026-11-21T10:00:00+0000 app-1 api[123]: "


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"{JOURNAL}ERROR: connection to 10.0.0.1:5432 failed after 30s", "ERROR: connection to # failed after #"),
        (f"{JOURNAL}CRITICAL pay_9fK2x token=sk_live_abc user=bob failed", "CRITICAL # token=? user=? failed"),
        ("2026-11-21T10:00:00.123456Z Error: no order 6f9619ff-8b86-d011-b42d-00cf4fc964ff", "Error: no order #"),
        ("[2026-11-21 10:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:12)", "[CRITICAL] WORKER TIMEOUT (#)"),
        (
            "2026/11/21 10:00:00 [error] 12#12: *7 connect() failed (111: Connection refused), client: 10.1.1.1",
            "[error] # connect() failed (# Connection refused), client: #",
        ),
        ('127.0.0.1 - - [21/Nov/2026:10:00:00 +0000] "GET /a/42?email=a@b.c HTTP/1.1" 502 9', "HTTP 502 GET /a/#"),
        ('INFO:  127.0.0.1:5 - "POST /v1/users/alice@b.c/cart/x HTTP/1.1" 500', "HTTP 500 POST /v1/users/#/…"),
        ("duplicate key value violates unique constraint \"u\": Key (email)=(a@b.c): ERROR", None),
        ('{"level":"error","msg":"user alice@example.com not found","id":12}', "error: user <email> not found"),
        ('{"severity":"ERROR","message":"took 12 ms"}', "ERROR: took # ms"),
        ('{"msg":"Exception in thread 5"}', "error: Exception in thread #"),
        ("panic: runtime error: index [5] with length 3", "panic: runtime error: index [#] with length #"),
        ("cannot open /srv/shop/alice.txt: failed", "cannot open <path>: failed"),
        ("fatal: see https://example.com/?user=alice", "fatal: see <url>"),
        (f"{JOURNAL}api.service: Failed with result 'exit-code'.", "api.service: Failed with result ?."),
        ("KeyError: b'alice'", "KeyError: ?"),
        ("Error: cannot open ‘alice’", "Error: cannot open ?"),
        ("ERROR: Key (name, city)=(bob smith, alice) already exists", "ERROR: Key (name, city)=? already exists"),
        ("error: user = alice, role => bob", "error: user =?, role =?"),
        ("error: no mail to alice@localhost", "error: no mail to <email>"),
        ('{"level":50,"time":1767225600000,"msg":"mail to alice@b.c declined"}', "error: mail to <email> declined"),
    ],
)  # fmt: skip
def test_a_line_that_tells_of_an_error_is_shown_without_its_values(line, kind):
    (found,) = kinds([line])
    if kind is not None:
        assert found == kind
    assert not any(value in found for value in ("alice", "a@b.c", "sk_live", "10.0.0.1", "bob"))


@pytest.mark.parametrize(
    "line",
    [
        f"{JOURNAL}INFO finished with 0 errors",
        "no errors found",
        '127.0.0.1 - - [21/Nov/2026:10:00:00 +0000] "GET /errors/fatal HTTP/1.1" 200 157',
        '{"level":"info","msg":"fine","error":null}',
        "",
        "    at Object.error (/srv/app.js:12)",
        "release 2026-11-21 on port 8000",
    ],
)
def test_a_line_that_tells_of_none_is_not_counted(line):
    assert not kinds([line])


def test_a_trace_is_one_error_of_the_kind_that_it_ends_with():
    trace = [
        "Traceback (most recent call last):",
        '  File "shop.py", line 5, in order',
        "    raise ValueError(number)",
        "Order.DoesNotExist: no order 17",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "shop.py", line 9, in order',
        "RuntimeError: gave up after 3 tries",
    ]
    lines = [f"{JOURNAL}{line}" for line in trace * 2]
    assert kinds(lines) == {"Order.DoesNotExist: no order #": 2, "RuntimeError: gave up after # tries": 2}


def test_the_same_error_with_other_values_is_counted_together():
    lines = [f"ERROR: order {number} of 10.0.0.{number} failed: 'name {number}'" for number in range(50)]
    assert kinds(lines) == {"ERROR: order # of # failed: ?": 50}


def test_what_is_long_is_cut():
    (found,) = kinds(["error " + "word " * 100])
    assert len(found) == LENGTH


@pytest.mark.parametrize("character", ["-", ".", "/", "a", "=", "'", "(", "@"])
def test_a_very_long_line_is_looked_at_in_no_time(character):
    began = time.monotonic()
    assert kinds([f"ERROR {character * 200_000}"])
    assert time.monotonic() - began < 2
