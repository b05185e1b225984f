"""A slow line between a runner and a server: the first bytes of a connection pass freely, the others in their time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 16 * 1024


@contextmanager
def slow_link(port: int, rate: float, free: int = 256 * 1024) -> Iterator[int]:
    """Relay connections to a port of 127.0.0.1; yields the port to connect to.

    Args:
        port: the server's.
        rate: bytes a second from the server, for each connection.
        free: bytes of each connection that pass before it becomes slow, so that only what moves much is slow.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, port, rate, free), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, port: int, rate: float, free: int) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            for source, sink, first in ((client, server, None), (server, client, free)):
                threading.Thread(target=_relay, args=(source, sink, rate, first), daemon=True).start()


def _relay(source: socket.socket, sink: socket.socket, rate: float, free: int | None) -> None:
    passed = 0
    with suppress(OSError):
        while piece := source.recv(PIECE):
            sink.sendall(piece)
            passed += len(piece)
            if free is not None and passed > free:
                time.sleep(len(piece) / rate)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
