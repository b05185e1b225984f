"""The HTTP server under every stand-in: records what it is asked, what broke the provider's contract, and can fail.

class Cloud(StandIn):
    def answer(self, request: Request) -> Answer: ...

with Cloud() as cloud:
    cloud.faults.append(Fault(429, headers={"Retry-After": "1"}, on="POST"))
    … cloud.url …
assert not cloud.violations
"""

from __future__ import annotations

import http.server
import json
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

MALFORMED = b'{"half of'
HTML = b"<html><body>Bad gateway</body></html>"


@dataclass(frozen=True)
class Request:
    """What was asked. ``body`` is parsed JSON, None when there is none; names of headers are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """What is answered. ``body``: None is none, bytes go out as they are, anything else as JSON."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault(Answer):
    """Answered once, in place of the first request whose ``METHOD /path`` holds ``on``.

    With ``slow`` alone and no status the request is carried out, only later. ``carried_out`` with a status: it is
    carried out, and the answer says otherwise.
    """

    status: int = 0
    on: str = ""
    slow: float = 0
    carried_out: bool = False


class Violation(Exception):
    """The request is not in the provider's contract: recorded, and refused with a 4xx.

    A refusal that belongs to the contract (a stale version, a wrong token) is returned as an ``Answer`` instead.
    """

    def __init__(self, said: str, status: int = 400) -> None:
        super().__init__(said)
        self.status = status


class StandIn(ABC):
    """A provider on 127.0.0.1. ``answer`` runs one at a time, under ``lock``; ``lock.wait`` lets others in."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.faults: deque[Fault] = deque()
        self.lock = threading.Condition(threading.RLock())
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stand_in = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """What the provider would."""

    def later(self, seconds: float, change: Callable[[], None]) -> None:
        """Let something happen by itself after a while: seen by whoever asks then, and not before."""
        with self.lock:
            self._due.append((time.monotonic() + seconds, change))

    def catch_up(self) -> None:
        """Let everything happen that is due; done before every answer."""
        with self.lock:
            now = time.monotonic()
            due = sorted((each for each in self._due if each[0] <= now), key=lambda each: each[0])
            self._due = [each for each in self._due if each[0] > now]
            for _, change in due:
                change()

    def error(self, said: str) -> Any:
        """The body of a refusal, in the provider's shape."""
        return {"error": said}

    def respond(self, request: Request) -> Answer:
        """A fault if one is due, otherwise the provider's answer."""
        with self.lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.on in str(request)), None)
            if fault:
                self.faults.remove(fault)
        if fault:
            time.sleep(fault.slow)
            if fault.status and not fault.carried_out:
                return fault
        with self.lock:
            self.catch_up()
            try:
                answer = self.answer(request)
            except Violation as violation:
                self.violations.append(f"{request}: {violation}")
                answer = Answer(violation.status, self.error(str(violation)))
            # Here, not later: what it shows may be changed by the next request.
            answer = Answer(answer.status, _encoded(answer.body), answer.headers)
            self.lock.notify_all()
        return fault if fault and fault.status else answer

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _encoded(body: Any) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    stand_in: StandIn


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        stand_in = self.server.stand_in
        parts = urlsplit(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(sent) if sent else None
        except ValueError:
            stand_in.violations.append(f"{self.command} {parts.path}: the body is not JSON")
            body = None
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = stand_in.respond(Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
        raw = _encoded(answer.body)
        kind = "text/html" if raw.startswith(b"<") else "application/json"
        self.send_response(answer.status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(raw)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            return  # who asked has gone: the faults of the tests do that on purpose

    def log_message(self, format: str, *arguments: object) -> None:
        pass
