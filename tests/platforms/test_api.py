"""How the API of any cloud is spoken to, and what is made of answers in odd shapes."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from ops.clouds.api import Api
from ops.errors import ConfigurationError, PlatformUnreachable, ServiceError
from ops.platforms import open_platform
from ops.secrets import Secret
from ops.services import CloudRun, Fly, Railway, Workers

TOKEN = Secret("TOKEN", lambda: "a-token")
ACCOUNT = "0" * 32


class Odd:
    """A server that gives the same answer to everything."""

    def __init__(self) -> None:
        self.code, self.body, self.headers = 200, "{}", {}
        self.asked = 0
        odd = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Whatever was asked."""
                odd.asked += 1
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(odd.code)
                for name, value in {"Content-Type": "application/json", **odd.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(odd.body)))
                self.end_headers()
                self.wfile.write(odd.body.encode())

            do_POST = do_PATCH = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def odd() -> Iterator[Odd]:
    server = Odd()
    yield server
    server.server.shutdown()
    server.server.server_close()


def services(url: str) -> list:
    return [
        Fly(name="web", app="web", token=TOKEN, api=url, web=url),
        CloudRun(name="web", project="p", region="r", token=TOKEN, api=url, logging=url),
        Workers(name="web", account=ACCOUNT, token=TOKEN, api=url),
        Railway(name="web", project="p", environment="e", service="s", token=TOKEN, api=url),
    ]


BODIES = [
    "{}", "[]", "null", "1", '"text"', '{"data": null}', '{"data": {}}', '{"success": true}',
    '{"success": true, "result": null}', '{"success": true, "result": []}', '{"data": {"deployments": null}}',
    '{"data": {"app": {}}}', '[{"id": "m1"}]', '{"template": 1, "trafficStatuses": 3}',
]  # fmt: skip


@pytest.mark.parametrize("kind", range(4), ids=["fly", "cloudrun", "workers", "railway"])
@pytest.mark.parametrize("ask", ["status", "releases", "restart", "start", "activate", "logs", "missing"])
def test_an_answer_in_an_odd_shape_is_one_line(odd: Odd, kind: int, ask: str) -> None:
    arguments = {"restart": ["m1"], "start": ["m1"], "activate": ["one"], "missing": [["NAME"]]}.get(ask, [])
    service = services(odd.url)[kind].model_copy(update={"within": 0.2})
    refused = 0
    for odd.body in BODIES:
        try:
            getattr(open_platform(service), ask)(*arguments)
        except ServiceError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused, "none of them is an answer"


@pytest.mark.parametrize(("asked", "least", "most"), [("1.5", 1.5, 5), ("-5", 0, 3), ("soon", 0, 3), ("", 0, 3)])
def test_how_long_to_wait_is_read_leniently(odd: Odd, asked: str, least: float, most: float) -> None:
    odd.code, odd.headers = 429, {"Retry-After": asked}
    threading.Timer(0.3, lambda: setattr(odd, "code", 200)).start()
    began = time.monotonic()
    assert Api("Test", odd.url).ask("GET", "x") == {}
    assert least <= time.monotonic() - began < most


def test_who_asks_to_be_left_alone_for_long_is(odd: Odd) -> None:
    odd.code, odd.headers = 429, {"Retry-After": "300"}
    with pytest.raises(ServiceError, match="Test asks to be left alone for 300 s"):
        Api("Test", odd.url).ask("GET", "x")
    assert odd.asked == 1


@pytest.mark.parametrize("token", ["with\nnewline", "with…dots", "with space", ""])
def test_a_token_that_cannot_be_one_is_not_sent_and_not_shown(odd: Odd, token: str) -> None:
    with pytest.raises(ConfigurationError, match="characters that no token has") as failure:
        Api("Test", odd.url, Secret("TOKEN", lambda: token))
    assert not token or token not in str(failure.value)
    assert not odd.asked


def test_an_answer_that_is_no_json_says_so(odd: Odd) -> None:
    odd.body = "<html>"
    with pytest.raises(PlatformUnreachable, match="instead of JSON"):
        Api("Test", odd.url).ask("GET", "x")
