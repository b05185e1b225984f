"""A web server that does what each test tells it to, faults and all."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. ``body`` is what was sent last, and ``asked_before`` is for those who remember."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    body: bytes
    asked_before = False

    def _serve(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.web.asked.append((self.command, self.path, dict(self.headers), self.body))
        action = self.server.web.actions.get(f"{self.command} {path}") or self.server.web.actions.get(path)
        (action or self.server.web.otherwise)(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def answer(self, body: Any = b"", status: int = 200, **headers: str) -> None:
        """Answer with bytes, or anything else as JSON."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/plain" if isinstance(body, bytes) else "application/json"
        self.send_response(status)
        for name, value in {"Content_Type": kind, "Content_Length": str(len(sent)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    def raw(self, sent: bytes) -> None:
        """Send bytes as they are, and hang up."""
        self.wfile.write(sent)
        self.close_connection = True

    def drip(self, sent: bytes, pause: float = 0.05) -> None:
        """Send bytes one at a time, for ever if need be."""
        for byte in sent:
            self.wfile.write(bytes([byte]))
            time.sleep(pause)
        self.close_connection = True

    def reset(self) -> None:
        """Hang up with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return  # who asked has gone

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            return

    def log_message(self, format: str, *arguments: object) -> None:
        pass


Action = Callable[[Handler], None]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 300
    web: Web

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake that the client broke off."""


class Web:
    """What it does, and what it was asked.

    Attributes:
        actions: by ``/path`` or ``METHOD /path``.
        asked: method, path with its query, headers and body of each request.
        connections: how many were made.
    """

    def __init__(self) -> None:
        self.actions: dict[str, Action] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0
        self.url = ""

    def forget(self) -> None:
        """Do nothing of what it was told, and know nothing of what it was asked."""
        self.actions.clear()
        self.asked.clear()
        self.connections = 0

    def on(self, path: str, body: Any = b"ok", status: int = 200, **headers: str) -> str:
        """Answer a path always alike; its URL."""
        return self.does(path, lambda handler: handler.answer(body, status, **headers))

    def does(self, path: str, action: Action) -> str:
        """Do something when a path is asked for; its URL."""
        self.actions[path] = action
        return self.url + path.rpartition(" ")[2]

    @staticmethod
    def otherwise(handler: Handler) -> None:
        """What it answers for any other path."""
        handler.answer(b"there is nothing", 404)


@contextmanager
def serving(certificate: str | None = None) -> Iterator[Web]:
    """A server that runs.

    Args:
        certificate: a file with a certificate and its key, for TLS.
    """
    web = Web()
    server = _Server(("127.0.0.1", 0), Handler)
    server.web = web
    accept = server.get_request

    def counted() -> tuple[Any, Any]:
        web.connections += 1
        return accept()

    server.get_request = counted
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme, port = "https" if certificate else "http", server.server_address[1]
    web.url = f"{scheme}://127.0.0.1:{port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
