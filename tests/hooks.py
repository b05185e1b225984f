"""A server that takes whatever is posted to it, as those do that tell people and dead man's switches.

python hooks.py ADDRESS FILE        prints its port, and runs until it is ended
"""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Told:
    """One request.

    Args:
        path: without the query.
        query: the first value of each name.
        body: its text.
    """

    path: str
    query: dict[str, str]
    body: str

    @property
    def notice(self) -> dict[str, Any]:
        """What apprise's ``json://`` says."""
        return json.loads(self.body)


@dataclass
class Hooks:
    """What a server was told.

    Args:
        address: ``host:port``.
        file: a line for each request.
    """

    address: str
    file: Path

    def told(self, path: str) -> list[Told]:
        """Requests below a path, in their order."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [one for line in lines if (one := Told(**json.loads(line))).path.startswith(path)]


def server(address: str, file: Path) -> http.server.ThreadingHTTPServer:
    """One that is bound; whoever asks below ``/broken`` gets 500."""
    turn = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            with turn, file.open("a") as told:
                told.write(json.dumps({"path": parts.path, "query": query, "body": body}) + "\n")
            self.send_response(500 if parts.path.startswith("/broken") else 200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing."""

    return http.server.ThreadingHTTPServer((address, 0), Handler)


@contextmanager
def hooks(file: Path) -> Iterator[Hooks]:
    """One on this machine."""
    with server("127.0.0.1", file) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield Hooks(f"127.0.0.1:{running.server_port}", file)
        running.shutdown()


@contextmanager
def dripping() -> Iterator[str]:
    """The address of a server that answers a byte now and then, and never comes to an end."""
    over = threading.Event()

    def answer(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not over.wait(0.2):
                client.sendall(b"x")

    def listen(listener: socket.socket) -> None:
        with suppress(OSError):
            while not over.is_set():
                client, _ = listener.accept()
                threading.Thread(target=answer, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()


if __name__ == "__main__":
    with server(sys.argv[1], Path(sys.argv[2])) as running:
        print(running.server_port, flush=True)
        running.serve_forever()
