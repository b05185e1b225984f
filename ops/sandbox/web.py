"""The web service of the sandbox and of the tests: its answer is the release that it runs.

    python web.py PORT [FILE [URL]]

The release is the text of ``release.txt`` in the directory that it was started in. It drains when it is told to end.
While FILE exists, it dies half a second after its start: to see what a rolling restart does then. ``/customers``
answers with what the release's own ``customers.sql`` gives on the database whose URL stands in the file URL.
"""

from __future__ import annotations

import http.server
import os
import signal
import sys
import threading
import time
from pathlib import Path

RELEASE, QUERY = Path("release.txt"), Path("customers.sql")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path alike, but for ``/customers``."""

    def do_GET(self) -> None:
        """The release, or the number of customers as its code counts them."""
        code, text = self.server.customers() if self.path == "/customers" else (200, self.server.release)  # type: ignore[attr-defined]
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Not every request."""


class Server(http.server.ThreadingHTTPServer):
    """Answers requests that have begun before it ends."""

    daemon_threads = False
    request_queue_size = 128
    release = ""
    query = ""
    url: Path | None = None

    def customers(self) -> tuple[int, str]:
        """Code and text of an answer."""
        import psycopg

        if self.url is None:
            return 404, "no database"
        try:
            with psycopg.connect(self.url.read_text(), connect_timeout=5) as connection:
                row = connection.execute(self.query.encode()).fetchone()
        except (OSError, psycopg.Error) as error:
            return 500, str(error).partition("\n")[0]
        return 200, f"{row[0] if row else 0} customers"


def main() -> None:
    """Serve until told to end."""
    port = int(sys.argv[1])
    release = RELEASE.read_text().strip()
    print(f"release {release} on port {port}, process {os.getpid()}", flush=True)  # noqa: T201
    if len(sys.argv) > 2 and Path(sys.argv[2]).exists():
        threading.Timer(0.5, _die).start()
    server = Server(("127.0.0.1", port), Handler)
    server.release = release
    server.query = QUERY.read_text() if QUERY.exists() else "SELECT 0"
    server.url = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    server.serve_forever(poll_interval=0.05)
    server.server_close()


def _die() -> None:
    print("broken, as told", flush=True)  # noqa: T201
    os._exit(1)


def _end_with_parent(server: Server) -> None:
    """A supervisor that was killed cannot tell it to."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.3)
    server.shutdown()


if __name__ == "__main__":
    main()
