"""A line to a server on this machine that can be slow, and on which everything can stand still."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE = 64 * 1024


class Link:
    """Relays connections to a port of 127.0.0.1.

    Args:
        server: the port.
        rate: bytes a second in each direction of each connection; None for no limit.
        stall_after: bytes from the server, on all connections together, after which nothing passes any more in either
            direction; the connections stay open.
        delay: seconds that each answer takes longer.
    """

    def __init__(
        self, server: int, rate: float | None = None, stall_after: int | None = None, delay: float = 0
    ) -> None:
        self._server = server
        self._rate = rate
        self._left = stall_after
        self._delay = delay
        self._moving = threading.Event()
        self._moving.set()
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._ends: list[socket.socket] = []
        self.passed = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._moving.set()
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def stall(self) -> None:
        """Let nothing pass from now on."""
        self._moving.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server))
                except OSError:
                    client.close()
                    continue
                self._ends += [client, server]
                for source, sink, counted in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._relay, args=(source, sink, counted), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if counted:
                    self._count(len(piece))
                    time.sleep(self._delay)
                self._moving.wait()
                if self._over.is_set():
                    return
                sink.sendall(piece)
                if self._rate:
                    time.sleep(len(piece) / self._rate)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int) -> None:
        with self._turn:
            self.passed += size
            if self._left is not None and self.passed > self._left:
                self._moving.clear()


def moments(seed: int, number: int, first: float, last: float) -> list[float]:
    """Random numbers that are the same every time."""
    chance = random.Random(seed)
    return [chance.uniform(first, last) for _ in range(number)]
