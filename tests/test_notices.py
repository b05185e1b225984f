"""Notices, sent to a server of the test's own."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator

import pytest
from hooks import dripping

from ops import notices
from ops.notices import tell
from ops.secrets import Secret, secret


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(500 if "broken" in self.path else 200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.told = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def url(server, path: str) -> Secret:
    return Secret("WEBHOOK", lambda: f"json://127.0.0.1:{server.server_port}/{path}")


def test_everybody_is_told_although_one_cannot_be(server, caplog) -> None:
    whom = [url(server, "broken"), Secret("TYPO", lambda: "nonsense"), secret("NOT_THERE"), url(server, "hidden-token")]
    problems = tell(whom, "rolled back", "prod serves 1 again", bad=False)
    told = dict(server.told)
    assert sorted(told) == ["/broken", "/hidden-token"]
    assert told["/hidden-token"]["title"] == "rolled back"
    assert told["/hidden-token"]["type"] == "success"
    assert list(problems) == whom[:3]
    assert "TYPO" in problems[whom[1]]
    assert "hidden-token" not in caplog.text + str(problems)


def test_a_failure_is_told_as_one(server) -> None:
    assert tell([url(server, "a")], "the rollback failed", "x", bad=True) == {}
    assert server.told[0][1]["type"] == "failure"


def test_in_a_job_only_what_went_well_is_told_by_the_deploy(server, monkeypatch) -> None:
    monkeypatch.setenv("OPS_IN_A_JOB", "refresh")
    assert tell([url(server, "a")], "the refresh failed", "x", bad=True) == {}
    assert tell([url(server, "a")], "refreshed", "x", bad=False) == {}
    assert [body["title"] for _, body in server.told] == ["refreshed"]


def test_who_takes_for_ever_keeps_nobody_waiting(server, monkeypatch) -> None:
    monkeypatch.setattr(notices, "PATIENCE", 1.0)
    with dripping() as address:
        slow = Secret("SLOW", lambda: f"json://{address}/x")
        good = url(server, "good")
        began = time.monotonic()
        assert tell([slow, good], "failed", "x", bad=True) == {slow: "secret('SLOW') did not answer within 1 s"}
        assert time.monotonic() - began < 10
    assert [path for path, _ in server.told] == ["/good"]
