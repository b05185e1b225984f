"""What the check ``HttpFlow`` does with a shop that can be written to, and says of it."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faulty_web import Handler, Web, serving
from worker_request import asked_one, by_worker, started

from ops.checks import HttpFlow, HttpStep, Outcome
from ops.checks.http import Http
from ops.errors import ConfigurationError
from ops.secrets import Secret

FAIL, UNKNOWN, PASS = Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS


class Shop:
    """Items that are written and, after a while, read.

    Attributes:
        items: by id.
        visible: when what was written can be read.
        lag: seconds until it can.
        token: that ``/login`` gives and everything else asks for; none: nothing does.
    """

    def __init__(self, web: Web) -> None:
        self.web = web
        self.items: dict[str, Any] = {}
        self.visible: dict[str, float] = {}
        self.lag = 0.0
        self.token = ""
        web.actions["POST /items"] = self.write
        web.actions["POST /login"] = self.login
        web.otherwise = self.other  # type: ignore[method-assign]

    def login(self, handler: Handler) -> None:
        """Give the token for a password."""
        good = json.loads(handler.body).get("password") == "pass word"
        handler.answer(
            {"token": self.token} if good else {"error": f"no: {handler.body.decode()}"}, 200 if good else 403
        )

    def write(self, handler: Handler) -> None:
        """Keep an item."""
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            handler.answer({"error": f"no: {handler.headers.get('Authorization')}"}, 401)
            return
        item = str(len(self.items) + 1) + "/ä"
        self.items[item] = json.loads(handler.body)
        self.visible[item] = time.monotonic() + self.lag
        handler.answer({"id": item, "number": len(self.items), "on": True}, 201)

    def other(self, handler: Handler) -> None:
        """Read an item, or remove it."""
        item = handler.path.removeprefix("/items/").replace("%2F", "/").replace("%C3%A4", "ä")
        if item not in self.items or time.monotonic() < self.visible[item]:
            handler.answer({"error": "there is none"}, 404)
        elif handler.command == "DELETE":
            del self.items[item]
            handler.answer(b"", 204)
        else:
            handler.answer(self.items[item])

    def asked(self) -> list[str]:
        """What it was asked, in order."""
        return [f"{method} {path}" for method, path, _, _ in self.web.asked]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with serving() as web:
        yield Shop(web)


def steps(shop: Shop, **of_read: Any) -> tuple[HttpStep, HttpStep, HttpStep]:
    """Write, read, clean up."""
    url = f"{shop.web.url}/items"
    return (
        HttpStep(url=url, method="POST", body={"name": "smoke"}, save={"id": "id"}),
        HttpStep(url=f"{url}/{{id}}", **{"equals": {"name": "smoke"}, **of_read}),
        HttpStep(url=f"{url}/{{id}}", method="DELETE", cleanup=True),
    )


def test_what_is_written_is_read_and_cleaned_up(shop: Shop) -> None:
    result = asked_one(HttpFlow(steps=steps(shop)))
    assert (result.outcome, result.limit) == (PASS, "each as it must be")
    assert result.value.startswith("3 steps in 0.")
    assert shop.asked() == ["POST /items", "GET /items/1%2F%C3%A4", "DELETE /items/1%2F%C3%A4"]
    assert shop.items == {}
    assert shop.web.connections == 1


def test_a_step_is_asked_again_until_its_wait_is_over(shop: Shop) -> None:
    shop.lag = 0.4
    assert asked_one(HttpFlow(steps=steps(shop, wait=5))).outcome is PASS
    assert len(shop.asked()) > 3
    shop.lag = 30
    began = time.monotonic()
    result = asked_one(HttpFlow(steps=steps(shop, wait=0.5)))
    assert 0.5 < time.monotonic() - began < 3
    assert (result.outcome, result.limit) == (FAIL, "200 to 299")
    assert result.value == 'GET /items/{id}: 404 Not Found: {"error": "there is none"}'


def test_what_was_written_is_cleaned_up_after_a_failure(shop: Shop) -> None:
    result = asked_one(HttpFlow(steps=steps(shop, equals={"name": "other"})))
    assert (result.outcome, result.value) == (FAIL, 'GET /items/{id}: name is "smoke"')
    assert result.limit == 'name = "other"'
    assert shop.asked()[-1].startswith("DELETE") and shop.items == {}


def test_what_was_not_written_is_not_cleaned_up(shop: Shop) -> None:
    shop.token = "some"
    result = asked_one(HttpFlow(steps=steps(shop)))
    assert result.outcome is FAIL
    assert result.value == (
        'POST /items: 401 Unauthorized: {"error": "no: None"}; '
        "DELETE /items/{id} was not asked: nothing is known to clean up"
    )
    assert shop.asked() == ["POST /items"]


def test_a_cleanup_that_finds_nothing_is_good_and_one_that_fails_is_not(shop: Shop) -> None:
    write, _, clean = steps(shop)
    result = asked_one(HttpFlow(steps=[clean, write, clean]))
    assert (result.outcome, shop.asked()[1:]) == (PASS, ["DELETE /items/1%2F%C3%A4"] * 2)
    shop.web.otherwise = lambda handler: handler.answer(b"", 500)  # type: ignore[method-assign]
    result = asked_one(HttpFlow(steps=steps(shop)))
    assert result.value == (
        "GET /items/{id}: 500 Internal Server Error; cleaning up: DELETE /items/{id}: 500 Internal Server Error"
    )
    result = asked_one(HttpFlow(steps=[write, clean]))
    assert (result.outcome, result.value) == (FAIL, "cleaning up: DELETE /items/{id}: 500 Internal Server Error")


def test_a_token_from_a_login_goes_where_it_is_named_and_is_shown_nowhere(shop: Shop) -> None:
    shop.token, password = f"tok-{secrets.token_hex(12)}", "pass word"

    def echo(status: int) -> Callable[[Handler], None]:
        return lambda handler: handler.answer(
            {"number": 1, "sent": [handler.headers["Authorization"], handler.path, handler.body.decode()]}, status
        )

    def flow(name: str, path: str, password: str) -> HttpFlow:
        login = HttpStep(
            url=f"{shop.web.url}/login", method="POST", body={"password": "{password}"}, save={"token": "token"}
        )
        write = HttpStep(
            url=f"{shop.web.url}{path}?key={{password}}", method="POST", body=["{password}", "{token}"],
            headers={"Authorization": "Bearer {token}"}, equals={"number": 1},
        )  # fmt: skip
        return HttpFlow(name=name, steps=[login, write], secrets={"password": Secret("PASSWORD", lambda: password)})

    shop.web.actions.update({"POST /good": echo(201), "POST /refused": echo(400)})
    flows = [
        flow("good", "/good", password),
        flow("refused", "/refused", password),
        flow("wrong", "/good", "wrong word"),
    ]
    results, printed = by_worker(*flows)
    assert [one.outcome for (one,) in results] == [PASS, FAIL, FAIL]
    sent = next(ask for ask in shop.web.asked if ask[1].startswith("/good"))
    assert (sent[1], json.loads(sent[3])) == ("/good?key=pass%20word", [password, shop.token])
    assert "***" in results[1][0].value and "***" in results[2][0].value
    assert not any(word in printed for word in (shop.token, password, "wrong word"))


def test_names_stand_for_values_wherever_they_may(shop: Shop) -> None:
    url = shop.web.url
    seen = HttpStep(
        url=f"{url}/seen?a={{id}}&b={{number}}", method="PUT", headers={"X-Id": "n {number} {on}"},
        body={"exact": "{number}", "on": "{on}", "inside": "<{number}>", "deep": [{"id": "{id}"}], "braces": "{ id }"},
        equals={"number": "{number}"}, text='"{number}"', save={"again": "number"},
    )  # fmt: skip
    shop.web.on("PUT /seen", {"number": 1, "text": "1"})
    shop.web.on("POST /text")
    write, _, _ = steps(shop)
    write = write.model_copy(update={"save": {"id": "id", "number": "number", "on": "on"}})
    text = HttpStep(url=f"{url}/text", method="POST", body="id={id}&n={again}&{ x }")
    result = asked_one(HttpFlow(steps=[write, seen, text]))
    assert result.outcome is PASS, result.value
    (_, path, headers, body), (*_, second) = shop.web.asked[1:]
    assert path == "/seen?a=1%2F%C3%A4&b=1"
    assert headers["X-Id"] == "n 1 true"
    assert json.loads(body) == {
        "exact": 1, "on": True, "inside": "<1>", "deep": [{"id": "1/ä"}], "braces": "{ id }",
    }  # fmt: skip
    assert second.decode() == "id=1/ä&n=1&{ x }"


def test_a_value_that_is_not_there_to_be_saved_fails(shop: Shop) -> None:
    write, read, _ = steps(shop)
    result = asked_one(HttpFlow(steps=[write.model_copy(update={"save": {"id": "item.id"}}), read]))
    assert (result.outcome, result.limit) == (FAIL, "item.id not empty")
    assert result.value == "POST /items: 201 Created, with nothing at item.id to be saved as id"


def test_a_step_that_cannot_be_asked_is_unknown_and_the_rest_is_cleaned_up(shop: Shop) -> None:
    write, _, clean = steps(shop)
    lost = HttpStep(url="http://no-such-host.invalid/", wait=5)
    result = asked_one(HttpFlow(steps=[write, lost, clean]))
    assert result.outcome is UNKNOWN
    assert result.value == "GET /: the name no-such-host.invalid cannot be resolved"
    assert shop.items == {}


def test_a_server_that_hangs_leaves_time_to_clean_up(shop: Shop) -> None:
    write, read, clean = steps(shop)
    shop.web.does("/hangs", lambda handler: time.sleep(5))
    began = time.monotonic()
    hanging = HttpStep(url=f"{shop.web.url}/hangs", wait=0.5)
    result = asked_one(HttpFlow(steps=[write, hanging, read, clean], timeout=1))
    assert time.monotonic() - began < 3
    assert result.outcome is FAIL
    assert result.value.startswith("GET /hangs: no whole answer in 0.")
    assert shop.items == {}


def test_what_a_flow_wrote_is_cleaned_up_when_it_is_interrupted(shop: Shop) -> None:
    shop.lag = 60
    process = started(HttpFlow(steps=steps(shop, wait=30), timeout=60))
    deadline = time.monotonic() + 20
    while len(shop.asked()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    shop.visible.clear()
    shop.visible["1/ä"] = time.monotonic()
    shop.web.actions["GET /items/1%2F%C3%A4"] = lambda handler: handler.answer(b"", 404)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=20)
    assert "interrupted" in printed and not errors
    assert shop.items == {}


# What is refused when the inventory is read


def step(**more: Any) -> HttpStep:
    return HttpStep(**{"url": "http://127.0.0.1/x", **more})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": []}, "at least 1 item"),
        ({"steps": [step(cleanup=True)]}, "there are only steps that clean up"),
        ({"steps": [step(url="http://127.0.0.1/{id}")]}, "GET /{id} needs {id}, which no step before it saves"),
        ({"steps": [step(body="{b}", method="PUT"), step(save={"b": "b"})]}, "PUT /x needs {b}"),
        ({"steps": [step(save={"a": "a"}), step(headers={"X": "{a}{c}"})]}, "needs {c}, which no step before"),
        ({"steps": [step(equals={"a": ["{d}"]})]}, "needs {d}"),
        ({"steps": [step(text="{e}")], "secrets": {"f": "x"}}, "{e}, which no step before it saves; there are: f"),
        ({"steps": [step(wait=8), step(wait=3)]}, "its steps wait for 11 s, and timeout is 10 s"),
        ({"steps": [step(wait=8), step(cleanup=True)]}, "timeout is 10 s, of which 2.5 s are kept for cleaning up"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        HttpFlow(**wrong)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"save": {"Id": "id"}}, "'Id' is no name for a value: lower-case letters, digits and _"),
        ({"save": {"id": "a["}}, "'a[' is no path of JMESPath"),
        ({"url": "http://{host}/"}, "the URL's host must be written out"),
    ],
)
def test_a_mistake_in_a_step_is_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match="line") as refused:
        step(**wrong)
    assert said in str(refused.value)


def test_a_secret_of_a_header_is_not_looked_up_to_read_the_inventory() -> None:
    lost = Secret("LOST", lambda: pytest.fail("it was looked up"))
    HttpFlow(steps=[step(headers={"X-Key": lost})], secrets={"other": lost})
    Http(url="http://127.0.0.1/", headers={"X-Key": lost})
