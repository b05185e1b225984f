"""What the check ``Metric`` says of a real Prometheus, and of what only claims to be one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Authority
from faulty_web import Web, serving
from prometheus import Prometheus, running
from worker_request import asked_one

from ops.checks import Metric, Outcome
from ops.errors import ConfigurationError
from ops.sandbox import ports
from ops.secrets import Secret

FAIL, UNKNOWN, WARN, PASS = Outcome.FAIL, Outcome.UNKNOWN, Outcome.WARN, Outcome.PASS


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with running(tmp_path_factory.mktemp("prometheus")) as server:
        server.push(load__web_1=0.5, load__web_2=7.25, load__web_3=3, requests=0, free=40)
        yield server


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


@pytest.mark.parametrize(
    ("query", "limit", "outcome", "value", "said"),
    [
        ("free", {"at_least": 20}, PASS, '40 % {job="shop"}', "≥ 20 %"),
        ("scalar(free)", {"at_least": 20}, PASS, "40 %", "≥ 20 %"),
        ("free", {"at_least": 50}, FAIL, '40 % {job="shop"}', "≥ 50 %"),
        ("free", {"at_least": 20, "warn": 45}, WARN, '40 % {job="shop"}', "≥ 20 %"),
        ("free / 3", {"at_most": 13}, FAIL, '13.3 % {job="shop"}', "≤ 13 %"),
        ("load", {"at_most": 8}, PASS, '7.25 % {instance="web_2", job="shop"}, the worst of 3', "≤ 8 %"),
        ("load", {"at_most": 8, "warn": 5}, WARN, '7.25 % {instance="web_2", job="shop"}, the worst of 3', "≤ 8 %"),
        ("load", {"at_most": 5}, FAIL, '7.25 % {instance="web_2", job="shop"}, the worst of 3', "≤ 5 %"),
        ("load", {"at_least": 1}, FAIL, '0.5 % {instance="web_1", job="shop"}, the worst of 3', "≥ 1 %"),
        ("sum(load)", {"at_most": 20}, PASS, "10.8 %", "≤ 20 %"),
        ("free / requests", {"at_most": 5}, FAIL, '∞ % {job="shop"}', "≤ 5 %"),
        ("-free / requests", {"at_least": 5}, FAIL, '-∞ % {job="shop"}', "≥ 5 %"),
    ],
)
def test_a_value_is_held_against_its_limit(
    prometheus: Prometheus, query: str, limit: dict[str, float], outcome: Outcome, value: str, said: str
) -> None:
    result = asked_one(Metric(url=f"{prometheus.url}/", query=query, unit=" %", **limit))
    assert (result.outcome, result.value, result.limit) == (outcome, value, said)
    assert bool(result.hint) is (outcome is not PASS)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("no_such_metric", "the query gives nothing"),
        ('load{instance="web_9"} > 0', "the query gives nothing"),
        ("requests / requests", 'NaN {job="shop"}'),
        ("scalar(no_such_metric)", "NaN"),
        ("load[5m]", "the query gives a matrix"),
        ('"text"', "the query gives a string"),
        ("load / ignoring(", "bad_data: 1:17: parse error: unclosed left parenthesis"),
        ("load + on(job) load", "execution: found duplicate series"),
        ("rate(load)", "bad_data: 1:6: parse error: expected type range vector"),
    ],
)
def test_what_gives_no_value_is_unknown(prometheus: Prometheus, query: str, value: str) -> None:
    result = asked_one(Metric(url=prometheus.url, query=query, at_most=5))
    assert result.outcome is UNKNOWN
    assert result.value.startswith(value)
    assert result.hint


def test_of_several_series_one_that_fails_comes_before_one_that_is_unknown(prometheus: Prometheus) -> None:
    query = "load or requests / requests"
    result = asked_one(Metric(url=prometheus.url, query=query, at_most=5))
    assert (result.outcome, result.value) == (FAIL, '7.25 {instance="web_2", job="shop"}, the worst of 4')
    result = asked_one(Metric(url=prometheus.url, query=query, at_most=50))
    assert (result.outcome, result.value) == (UNKNOWN, 'NaN {job="shop"}, the worst of 4')


def test_what_was_pushed_anew_is_seen(prometheus: Prometheus) -> None:
    check = Metric(url=prometheus.url, query="errors", at_most=5)
    prometheus.push(errors=1)
    assert asked_one(check).outcome is PASS
    prometheus.push(errors=6)
    assert asked_one(check).outcome is FAIL


def test_a_server_that_is_not_there_is_unknown() -> None:
    result = asked_one(Metric(url=f"http://127.0.0.1:{ports.free()}", query="up", at_least=1))
    assert (result.outcome, result.value) == (UNKNOWN, "the connection was refused")
    result = asked_one(Metric(url="http://no-such-host.invalid", query="up", at_least=1))
    assert (result.outcome, result.value) == (UNKNOWN, "the name no-such-host.invalid cannot be resolved")


ODD = "200 OK with application/json, and not as Prometheus answers"


@pytest.mark.parametrize(
    ("body", "status", "value"),
    [
        (b"<html>", 200, "200 OK with text/plain, and not as Prometheus answers"),
        ([1], 200, ODD),
        ({"status": "success"}, 200, ODD),
        ({"status": "success", "data": None}, 200, ODD),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}}, 200, ODD),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1, "much"]}}, 200, ODD),
        ({"message": "who are you"}, 401, '401 Unauthorized: {"message": "who are you"}'),
        (b"upstream is gone", 502, "502 Bad Gateway: upstream is gone"),
        ({"status": "error", "errorType": "timeout", "error": "it took too long"}, 503, "timeout: it took too long"),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_prometheus_is_unknown(web: Web, body: Any, status: int, value: str) -> None:
    web.on("/api/v1/query", body, status)
    result = asked_one(Metric(url=web.url, query="up", at_least=1))
    assert (result.outcome, result.value) == (UNKNOWN, value)
    assert result.hint


def test_an_answer_from_a_part_of_the_stores_does_not_pass(web: Web) -> None:
    data = {"resultType": "vector", "result": [{"metric": {}, "value": [1, "3"]}]}
    web.on("/api/v1/query", {"status": "success", "data": data, "warnings": ["store 2 is gone"]})
    result = asked_one(Metric(url=web.url, query="up", at_most=5))
    assert (result.outcome, result.value) == (UNKNOWN, "3, but store 2 is gone")
    assert asked_one(Metric(url=web.url, query="up", at_most=2)).outcome is FAIL


def test_headers_and_authorities_of_ones_own_are_used(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    with serving(authority.certificate("127.0.0.1", 30)) as web:
        web.on("/base/api/v1/query", {"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}})
        headers = {"Authorization": Secret("TOKEN", lambda: "Bearer some-token")}
        check = Metric(url=f"{web.url}/base", query='up{a="b&c"}', at_least=1, headers=headers, ca_file=authority.file)
        assert asked_one(check).outcome is PASS
        assert asked_one(check.model_copy(update={"ca_file": None})).outcome is UNKNOWN
        ((_, path, sent, _),) = web.asked
    assert path == "/base/api/v1/query?query=up%7Ba%3D%22b%26c%22%7D"
    assert sent["Authorization"] == "Bearer some-token"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "write one of at_most=… and at_least=…"),
        ({"at_most": 1, "at_least": 0}, "write one of at_most=… and at_least=…"),
        ({"at_most": 1, "warn": 2}, "warn=… must come before the limit"),
        ({"at_least": 1, "warn": 1}, "warn=… must come before the limit"),
    ],
)
def test_a_mistake_is_one_line(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Metric(url="http://127.0.0.1:9090", query="up", **wrong)
    assert said in str(refused.value)
