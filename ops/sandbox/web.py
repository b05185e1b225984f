"""The web service of the sandbox and of the tests: its answer is the release that it runs.

    python web.py PORT [FILE]

The release is the text of ``release.txt`` in the directory that it was started in. It drains when it is told to end.
While FILE exists, it dies half a second after its start: to see what a rolling restart does then.
"""

from __future__ import annotations

import http.server
import os
import signal
import sys
import threading
import time
from pathlib import Path

RELEASE = Path("release.txt")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path alike."""

    def do_GET(self) -> None:
        """The release."""
        body = self.server.release.encode()  # type: ignore[attr-defined]
        self.send_response(200)
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


def main() -> None:
    """Serve until told to end."""
    port = int(sys.argv[1])
    release = RELEASE.read_text().strip()
    print(f"release {release} on port {port}, process {os.getpid()}", flush=True)  # noqa: T201
    if len(sys.argv) > 2 and Path(sys.argv[2]).exists():
        threading.Timer(0.5, _die).start()
    server = Server(("127.0.0.1", port), Handler)
    server.release = release
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
