"""What the check ``Http`` says of servers that answer well, badly, slowly, and not at all."""

from __future__ import annotations

import gzip
import itertools
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from faulty_web import Handler, Web, serving
from worker_request import asked, asked_one, by_worker

from ops.checks import Http, Outcome
from ops.errors import ConfigurationError
from ops.secrets import Secret

FAIL, PASS = Outcome.FAIL, Outcome.PASS


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture
def web(server: Web) -> Web:
    server.forget()
    return server


# What is in the answer


def test_an_answer_as_it_must_be_passes(web: Web) -> None:
    url = web.on("/health", {"status": "healthy"})
    result = asked_one(Http(url=url, equals={"status": "healthy"}))
    assert result.outcome is PASS
    assert result.value.startswith("200 in 0.0")
    assert result.limit == '200 to 299, status = "healthy"'
    assert result.hint == ""


def test_a_wrong_status_fails_with_what_the_server_says(web: Web) -> None:
    url = web.on("/health", {"error": "no database"}, 503)
    result = asked_one(Http(url=url))
    assert (result.outcome, result.limit) == (FAIL, "200 to 299")
    assert result.value == '503 Service Unavailable: {"error": "no database"}'
    assert result.hint == f"Type: curl -i {url}"


def test_the_status_may_be_said(web: Web) -> None:
    url = web.on("/secret", b"no", 401)
    assert asked_one(Http(url=url, status=[401, 403])).outcome is PASS
    result = asked_one(Http(url=url, status=[200, 204]))
    assert (result.outcome, result.value, result.limit) == (FAIL, "401 Unauthorized: no", "200 or 204")


LIST = {"items": [{"id": 1, "name": "one"}, {"id": 2, "name": ""}], "none": [], "count": 2, "on": True, "share": 0.5}


@pytest.mark.parametrize(
    "good",
    [
        {"equals": {"count": 2}}, {"equals": {"share": 0.5}}, {"equals": {"on": True}}, {"equals": {"missing": None}},
        {"equals": {"items[0]": {"id": 1, "name": "one"}}}, {"not_empty": ["items"]}, {"not_empty": ["items[0].name"]},
        {"empty": ["none"]}, {"empty": ["items[1].name"]}, {"empty": ["missing"]}, {"at_least": {"count": 2}},
        {"at_least": {"length(items)": 1}}, {"at_most": {"count": 2}}, {"at_most": {"share": 0.5}}, {"text": '"one"'},
    ],
)  # fmt: skip
def test_what_is_in_the_json_passes(web: Web, good: dict[str, Any]) -> None:
    assert asked_one(Http(url=web.on("/list", LIST), **good)).outcome is PASS


@pytest.mark.parametrize(
    ("bad", "value", "limit"),
    [
        ({"equals": {"count": 3}}, "count is 2", "count = 3"),
        ({"equals": {"on": 1}}, "on is true", "on = 1"),
        ({"equals": {"items[0].name": "two"}}, 'items[0].name is "one"', 'items[0].name = "two"'),
        ({"not_empty": ["none"]}, "none is []", "none not empty"),
        ({"not_empty": ["missing.deeper"]}, "missing.deeper is null", "missing.deeper not empty"),
        ({"empty": ["items[0].name"]}, 'items[0].name is "one"', "items[0].name empty"),
        ({"at_least": {"count": 2.5}}, "count is 2", "count ≥ 2.5"),
        ({"at_most": {"length(items)": 1}}, "length(items) is 2", "length(items) ≤ 1"),
        ({"at_least": {"items[0].name": 0}}, 'items[0].name is "one"', "items[0].name ≥ 0"),
        ({"at_least": {"on": 1}}, "on is true", "on ≥ 1"),
        ({"text": "three"}, "200 OK without 'three'", "with 'three'"),
        ({"header": {"X-Version": "2"}}, "X-Version is '1.4'", "X-Version with '2'"),
        ({"header": {"X-Nothing": "2"}}, "there is no header X-Nothing", "X-Nothing with '2'"),
        ({"equals": {"count": 3}, "empty": ["items"]}, "count is 2; items is [{", "count = 3, items empty"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_answer_fails_and_is_told(web: Web, bad: dict[str, Any], value: str, limit: str) -> None:
    result = asked_one(Http(url=web.on("/list", LIST, X_Version="1.4"), **bad))
    assert result.outcome is FAIL
    assert result.value.startswith(value)
    assert result.limit == limit


def test_a_path_that_cannot_be_applied_fails(web: Web) -> None:
    result = asked_one(Http(url=web.on("/odd", {"error": "none today"}), at_least={"length(items)": 1}))
    assert result.outcome is FAIL
    assert result.value == 'length(items) cannot be told of {"error": "none today"}'


@pytest.mark.parametrize("body", [b"<html>ok</html>", b"", b'{"half', b"[" * 100_000])
def test_a_path_into_what_is_no_json_fails(web: Web, body: bytes) -> None:
    result = asked_one(Http(url=web.on("/page", body, Content_Type="text/html; charset=utf-8"), not_empty=["items"]))
    assert (result.outcome, result.limit) == (FAIL, "items not empty")
    assert result.value == "200 OK with text/html that is not JSON"


def test_text_is_read_in_its_charset(web: Web) -> None:
    url = web.on("/old", "grüße".encode("latin-1"), Content_Type="text/plain; charset=iso-8859-1")
    assert asked_one(Http(url=url, text="grüße")).outcome is PASS
    assert asked_one(Http(url=web.on("/new", "grüße".encode()), text="grüße")).outcome is PASS
    assert asked_one(Http(url=web.on("/x", b"so", Content_Type="text/plain; charset=none"), text="so")).outcome is PASS


def test_what_comes_packed_is_unpacked(web: Web) -> None:
    packed = gzip.compress(b'{"a": 1}')
    url = web.on("/packed", packed, Content_Type="application/json", Content_Encoding="gzip")
    assert asked_one(Http(url=url, equals={"a": 1})).outcome is PASS
    url = web.on("/damaged", b"not packed at all", Content_Encoding="gzip")
    result = asked_one(Http(url=url))
    assert (result.outcome, result.value) == (FAIL, "its answer cannot be unpacked")


def test_a_redirection_is_not_followed(web: Web) -> None:
    url = web.on("/old", b"", 301, Location="/new?token=abc")
    result = asked_one(Http(url=url))
    assert (result.outcome, result.value) == (FAIL, f"301 Moved Permanently to {web.url}/new")
    for target in ("/new", f"{web.url}/new"):
        assert asked_one(Http(url=url, redirects_to=target)).outcome is PASS
    result = asked_one(Http(url=url, redirects_to="https://"))
    assert (result.outcome, result.limit) == (FAIL, "to https://")
    assert result.value == f"301 Moved Permanently to {web.url}/new"
    assert [path for _, path, _, _ in web.asked] == ["/old"] * 4
    assert asked_one(Http(url=web.on("/ok"), redirects_to="/new")).value == "200 OK"
    assert asked_one(Http(url=web.on("/lost", b"", 302), redirects_to="/")).value == "302 Found to nowhere"


def test_method_headers_and_body_are_sent(web: Web) -> None:
    url = web.on("/items?dry=1", {"id": 7}, 201)
    web.actions["POST /items"] = lambda handler: handler.answer({"id": 7}, 201)
    headers = {"X-Key": Secret("KEY", lambda: "k"), "User-Agent": "me"}
    assert asked_one(Http(url=url, method="POST", headers=headers, body={"a": ["ü"]}, status=[201])).outcome is PASS
    method, path, sent, body = web.asked[0]
    assert (method, path, json.loads(body)) == ("POST", "/items?dry=1", {"a": ["ü"]})
    assert (sent["X-Key"], sent["User-Agent"], sent["content-type"]) == ("k", "me", "application/json")
    asked(Http(url=url, method="PUT", body="grüße", headers={"Content-Type": "text/plain"}))
    assert (web.asked[1][3].decode(), web.asked[1][2]["Content-Type"]) == ("grüße", "text/plain")
    assert asked_one(Http(url=web.on("/head"), method="HEAD", header={"Content-Length": "2"})).outcome is PASS


# Secrets


def test_no_secret_is_in_any_result_even_when_the_server_echoes_it(web: Web) -> None:
    token = f"tok-{secrets.token_hex(16)}"
    padding = "x" * 70  # so that what is shown is cut in its middle

    def echo(handler: Handler) -> None:
        sent = handler.headers["Authorization"]
        status = int(handler.path.rpartition("/")[2])
        echoed = {"you": sent, "token": sent.split()[1], "padding": f"{padding}{sent}", '"quoted"': f'"{sent}"'}
        if handler.path.startswith("/plain"):
            handler.answer(f"{padding}{sent.split()[1]}\n{sent}".encode(), status, X_Echo=sent)
        else:
            handler.answer(echoed, status, X_Echo=f"{padding} {sent}", Location=f"/{sent.split()[1]}?{sent}")

    web.otherwise = echo  # type: ignore[method-assign]
    try:
        headers = {"Authorization": Secret("TOKEN", lambda: f"Bearer {token}")}
        kinds = itertools.product(("json", "plain"), (200, 302, 404, 500))
        checks = [Http(url=f"{web.url}/{kind}/{code}", headers=headers, name=f"{kind} {code}") for kind, code in kinds]
        looking = {
            "equals": {"you": "1", "token": 1, "padding": None}, "empty": ["@"], "at_least": {"length(you.x)": 1},
            "text": "nothing", "header": {"X-Echo": "other"}, "redirects_to": "https://", "status": [200, 302, 404],
        }  # fmt: skip
        checks += [check.model_copy(update={**looking, "name": f"{check.name} more"}) for check in checks]
        results, printed = by_worker(*checks)
    finally:
        del web.otherwise
    assert sum(one.outcome is FAIL for each in results for one in each) >= 12
    assert "***" in printed
    for length in range(8, len(token), 8):
        assert token[:length] not in printed
        assert token[-length:] not in printed


# What is refused when the inventory is read


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "http://user:word@host/"}, "URLs are shown"),
        ({"url": "http:///path"}, "the URL names no host"),
        ({"url": "http://host:99999/"}, "http://host:99999/ is no URL: Port out of range"),
        ({"url": "ftp://host/"}, "http://… or https://…"),
        ({"equals": {"a[": 1}}, "'a[' is no path of JMESPath"),
        ({"certificate": 14}, "certificate=… needs an https:// URL"),
        ({"tries": 19, "p95": 1}, "p95=… needs tries=…, at least 20"),
        ({"method": "HEAD", "text": "x"}, "an answer to HEAD has no body"),
        ({"headers": {"X Key": "a"}}, "'X Key' can be no header's name"),
        ({"method": "POST", "body": {"a": [Secret("X", lambda: "x")]}}, "HttpFlow(secrets="),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Http(**{"url": "http://127.0.0.1/", **wrong})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
