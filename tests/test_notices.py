"""Notices, sent to a server of the test's own."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

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
    assert [path for path, _ in server.told] == ["/broken", "/hidden-token"]
    assert server.told[1][1]["title"] == "rolled back"
    assert server.told[1][1]["type"] == "success"
    assert len(problems) == 3
    assert "TYPO" in problems[1]
    assert "hidden-token" not in caplog.text + str(problems)


def test_a_failure_is_told_as_one(server) -> None:
    assert tell([url(server, "a")], "the rollback failed", "x", bad=True) == []
    assert server.told[0][1]["type"] == "failure"
