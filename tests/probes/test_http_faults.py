"""What the check ``Http`` says of servers that answer in pieces, slowly, or not at all, and of what cannot be asked."""

from __future__ import annotations

import itertools
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from faulty_web import Handler, Web, serving
from worker_request import asked, asked_one

from ops.checks import Http, Outcome, Result
from ops.probes.http import percentile
from ops.sandbox import ports

FAIL, UNKNOWN, PASS = Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture
def web(server: Web) -> Web:
    server.forget()
    return server


def rows(results: list[Result]) -> dict[str, Result]:
    return {one.what: one for one in results}


# No answer, or none that is whole


def test_nobody_listening_fails() -> None:
    results = rows(asked(Http(url=f"http://127.0.0.1:{ports.free()}/", within=1, tries=2)))
    assert (results[""].outcome, results[""].value) == (FAIL, "0 of 2 tries were right: the connection was refused")
    assert results[""].hint == "Does it run, and listen there?"
    assert (results["latency"].outcome, results["latency"].value) == (UNKNOWN, "no whole answer")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    ("action", "value"),
    [
        (lambda handler: handler.reset(), "the connection was reset"),
        (lambda handler: handler.raw(b""), "the connection was closed without an answer"),
        (lambda handler: handler.raw(HEAD + b"half"), "the connection was closed in the middle of the answer"),
        (
            lambda handler: handler.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
            "the connection was closed in the middle of the answer",
        ),
        (lambda handler: handler.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "its answer is not in HTTP"),
        (lambda handler: handler.raw(b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000), "its answer is not in HTTP"),
    ],
    ids=["reset", "closed", "half a body", "half of the chunks", "not http", "endless header"],
)
def test_a_broken_answer_fails_in_words(web: Web, action: Any, value: str) -> None:
    result = asked_one(Http(url=web.does("/broken", action)))
    assert (result.outcome, result.value) == (FAIL, value)
    assert result.limit == "200 to 299"


def hangs(handler: Handler) -> None:
    time.sleep(3)


@pytest.mark.parametrize(
    "action",
    [
        hangs,
        lambda handler: handler.drip(HEAD + b"x" * 100_000),
        lambda handler: handler.drip(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000),
        lambda handler: (handler.wfile.write(HEAD), hangs(handler)),
    ],
    ids=["silent", "drips its body", "drips its headers", "stops after its headers"],
)
def test_an_answer_that_is_never_whole_fails_when_the_time_is_over(web: Web, action: Any) -> None:
    began = time.monotonic()
    results = rows(asked(Http(url=web.does("/slow", action), timeout=0.5, within=0.2)))
    assert 0.4 < time.monotonic() - began < 2.5
    assert results[""].outcome is FAIL
    assert re.fullmatch(r"no whole answer in [\d.]+ s", results[""].value)
    assert results[""].hint == "Look why it is slow, or give it more: timeout=…"
    assert (results["latency"].outcome, results["latency"].limit) == (FAIL, "≤ 0.2 s")


def test_a_server_that_takes_no_connection_fails_when_the_time_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        began = time.monotonic()
        result = asked_one(Http(url=f"http://127.0.0.1:{full.getsockname()[1]}/", timeout=0.5))
        assert time.monotonic() - began < 2.5
        for one in waiting:
            one.close()
    assert result.outcome is FAIL
    assert re.fullmatch(r"no connection in [\d.]+ s", result.value)


def test_more_than_fits_is_not_read(web: Web) -> None:
    def endless(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            handler.wfile.write(b"x" * 100_000)

    result = asked_one(Http(url=web.does("/endless", endless)))
    assert (result.outcome, result.value) == (UNKNOWN, "200, with more than 8 MB")


def test_a_name_with_two_addresses_is_asked_at_the_one_that_answers(web: Web) -> None:
    url = web.on("/ok").replace("127.0.0.1", "localhost")
    assert asked_one(Http(url=url)).outcome is PASS


# What cannot be asked


@pytest.mark.parametrize(
    ("check", "value"),
    [
        ({"url": "http://no-such-host.invalid/"}, "the name no-such-host.invalid cannot be resolved"),
        ({"url": "http://224.0.0.1/"}, "no connection from here: Network is unreachable"),
        ({"url": "https://127.0.0.1/", "ca_file": "/no/file"}, "/no/file cannot be read: No such file or directory"),
        ({"url": "https://127.0.0.1/", "ca_file": "/dev/null"}, "there is no certificate in /dev/null"),
        (
            {"url": "http://127.0.0.1/", "headers": {"X-Key": "a\nb"}},
            "the value for the header X-Key holds characters that no header can have",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_unknown(check: dict[str, Any], value: str) -> None:
    results = rows(asked(Http(**check, within=1, tries=3)))
    assert {one.outcome for one in results.values()} == {UNKNOWN}
    assert results[""].value == value
    assert results[""].hint


# How soon


def test_a_slow_answer_fails_in_a_row_of_its_own(web: Web) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.2)
        handler.answer(b"ok")

    results = rows(asked(Http(url=web.does("/slow", slow), within=0.1)))
    assert results[""].outcome is PASS
    assert (results["latency"].outcome, results["latency"].limit) == (FAIL, "≤ 0.1 s")
    assert results["latency"].value.startswith("0.2")
    assert results["latency"].hint == "Look what it waits for: pyinfra test deploys/triage.py"
    results = rows(asked(Http(url=web.url + "/slow", within=5)))
    assert (results[""].outcome, results["latency"].outcome) == (PASS, PASS)


@pytest.mark.parametrize(("slow", "outcome"), [(1, PASS), (2, FAIL)])
def test_one_slow_try_of_twenty_is_let_out_of_the_p95(web: Web, slow: int, outcome: Outcome) -> None:
    number = itertools.count()

    def seldom_slow(handler: Handler) -> None:
        time.sleep(0.3 if next(number) in (5, 11)[:slow] else 0)
        handler.answer(b"ok")

    results = rows(asked(Http(url=web.does("/seldom", seldom_slow), tries=20, p95=0.2, within=0.2)))
    assert results[""].value.startswith("200, 20 times, in at most 0.3")
    assert results["p95"].outcome is outcome
    assert results["latency"].outcome is FAIL
    assert web.connections == 1


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (19, 19), (20, 19), (21, 20), (100, 95), (101, 96)])
def test_the_percentile_is_by_nearest_rank(count: int, rank: int) -> None:
    times = [float(one) for one in range(count, 0, -1)]
    assert percentile(times) == rank


def test_one_wrong_try_of_several_fails(web: Web) -> None:
    number = itertools.count()
    url = web.does("/flaps", lambda handler: handler.answer(b"", 502 if next(number) == 2 else 200))
    result = asked_one(Http(url=url, tries=5))
    assert (result.outcome, result.value) == (FAIL, "4 of 5 tries were right: 502 Bad Gateway")


def test_tries_that_the_time_does_not_suffice_for_fail(web: Web) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.1)
        handler.answer(b"ok")

    results = rows(asked(Http(url=web.does("/slow", slow), tries=100, timeout=0.55, p95=0.3, within=0.4)))
    assert results[""].outcome is FAIL
    assert results[""].value.split(":")[0] in ("4 of 100 tries were right", "5 of 100 tries were right")
    assert results["p95"].outcome is UNKNOWN
    assert results["p95"].value in ("only 4 of 100 tries were answered", "only 5 of 100 tries were answered")
    assert results["latency"].outcome is UNKNOWN


@pytest.mark.parametrize(("method", "good", "asked"), [("GET", 3, 5), ("POST", 2, 3)])
def test_only_what_changes_nothing_is_asked_again_when_a_kept_connection_ends(
    web: Web, method: str, good: int, asked: int
) -> None:
    def once_a_connection(handler: Handler) -> None:
        if handler.asked_before:
            handler.raw(b"")
        else:
            handler.asked_before = True
            handler.answer(b"ok")

    result = asked_one(Http(url=web.does("/kept", once_a_connection), method=method, tries=3))
    assert result.outcome is (PASS if good == 3 else FAIL), result.value
    assert len(web.asked) == asked
    if good < 3:
        assert result.value == "2 of 3 tries were right: the connection was closed without an answer"


@pytest.mark.parametrize("said", [{}, {"Connection": "close"}])
def test_a_server_that_lets_go_of_its_connections_is_asked_anew(web: Web, said: dict[str, str]) -> None:
    def once(handler: Handler) -> None:
        handler.answer(b"ok", **said)
        handler.close_connection = True  # whether it has said so or not

    assert asked_one(Http(url=web.does("/once", once), tries=5)).outcome is PASS
    assert web.connections == 5
