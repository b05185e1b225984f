"""A small HTTP proxy before a real server that does to chosen requests what networks and servers do."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

PIECE = 64 * 1024


@dataclass
class Fault:
    """What happens to matching requests.

    Args:
        method: of the requests it is for.
        target: a regular expression searched for in path and query.
        times: how many requests it happens to; None for all.
        answer: a status to answer with, without asking the server.
        code: the error code in the body of that answer.
        cut_request: bytes of the request's body after which the connection breaks.
        cut_answer: bytes of the answer's body after which the connection breaks; 0: the server has done it, and
            not even the status comes back.
        reset: break by RST, not by FIN.
        stall: bytes of the answer's body after which nothing more comes, until the proxy is closed.
        rate: bytes a second, either way.
        hits: how many requests it has happened to.
    """

    method: str
    target: str = ""
    times: int | None = None
    answer: int | None = None
    code: str = "SlowDown"
    cut_request: int | None = None
    cut_answer: int | None = None
    reset: bool = False
    stall: int | None = None
    rate: float | None = None
    hits: int = 0


@dataclass(frozen=True)
class Request:
    """A request as it came, and how many bytes its body had."""

    method: str
    target: str
    headers: dict[str, str]
    size: int


@dataclass
class FaultyProxy:
    """Between a client, which is given ``url``, and a server on this machine.

    Args:
        server: URL of the server.
        faults: tried in order; the first that matches happens.
        requests: all that came so far.
    """

    server: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.upstream = urlsplit(self.server)
        self.over = threading.Event()
        self._turn = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._listener = _Listener(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self._thread = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def fault(self, method: str, target: str = "", **effect: Any) -> Fault:
        """Let a fault happen from now on."""
        fault = Fault(method, target, **effect)
        self.faults.append(fault)
        return fault

    def take(self, method: str, target: str) -> Fault:
        """The fault that happens to this request; one without effect when there is none."""
        with self._turn:
            for fault in self.faults:
                matches = fault.method == method and re.search(fault.target, target)
                if matches and (fault.times is None or fault.hits < fault.times):
                    fault.hits += 1
                    return fault
        return Fault(method)

    def seen(self, method: str, target: str = "") -> list[Request]:
        """The requests of this method whose path and query match."""
        return [r for r in self.requests if r.method == method and re.search(target, r.target)]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def log_message(self, *_: Any) -> None:
        pass

    def relay(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        self.proxy.requests.append(Request(self.command, self.path, dict(self.headers), size))
        fault = self.proxy.take(self.command, self.path)
        body = self._body(size if fault.cut_request is None else min(size, fault.cut_request), fault)
        if fault.cut_request is not None:
            return self._break(fault)
        if fault.answer is not None:
            return self._refuse(fault)
        answer, content = self._ask(body)
        if fault.cut_answer == 0:
            return self._break(fault)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                self.send_header(name, value)
        # An answer to HEAD tells the length of a body that does not follow.
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        end = min((n for n in (fault.cut_answer, fault.stall) if n is not None), default=len(content))
        for piece in _pieces(content[:end], fault.rate):
            self.wfile.write(piece)
        if end < len(content):
            if fault.stall is not None:
                self.proxy.over.wait()
            self._break(fault)
        return None

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = relay

    def _body(self, size: int, fault: Fault) -> bytes:
        body = bytearray()
        while len(body) < size and (piece := self.rfile.read(min(PIECE, size - len(body)))):
            body += piece
            if fault.rate:
                time.sleep(len(piece) / fault.rate)
        return bytes(body)

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        """The server's answer to the very same request: its signature covers the Host header too."""
        assert self.proxy.upstream.hostname and self.proxy.upstream.port
        connection = http.client.HTTPConnection(self.proxy.upstream.hostname, self.proxy.upstream.port, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"expect", "connection"}:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _refuse(self, fault: Fault) -> None:
        assert fault.answer is not None
        silent = self.command == "HEAD" or fault.answer < 300
        content = b"" if silent else f"<Error><Code>{fault.code}</Code></Error>".encode()
        self.send_response(fault.answer)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _break(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)


def _pieces(content: bytes, rate: float | None) -> Iterable[bytes]:
    for start in range(0, len(content), PIECE):
        piece = content[start : start + PIECE]
        if rate:
            time.sleep(len(piece) / rate)
        yield piece
