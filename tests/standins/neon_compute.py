"""What runs a branch: a port of its own, behind which the database of the usual name is the branch's."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

_CANCEL, _TLS, _GSS = 80877102, 80877103, 80877104
_PIECE = 64 * 1024


class Compute:
    """Passes sessions on to the real server, and changes one word of them: the name of the database.

    Args:
        server: port of the real server.
        real: asked at every session: the real names of databases by the names that are asked for.
    """

    def __init__(self, server: int, real: Callable[[], dict[str, str]]) -> None:
        self._server, self._real = server, real
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self) -> list[int]:
        """End all sessions.

        Returns:
            The ports that the real server had them from.
        """
        ports = []
        for each in list(self._open):
            with contextlib.suppress(OSError):
                ports.append(each.getsockname()[1])
                each.shutdown(socket.SHUT_RDWR)
        return ports

    def close(self) -> None:
        """Stop listening, and end all sessions."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                (size,) = struct.unpack("!I", _exactly(client, 4))
                packet = _exactly(client, size - 4)
                (code,) = struct.unpack("!I", packet[:4])
                if code not in (_TLS, _GSS):
                    break
                client.sendall(b"N")
            if code != _CANCEL:
                packet = _renamed(packet, self._real())
            with socket.create_connection(("127.0.0.1", self._server)) as server:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open |= {client, server}
                try:
                    server.sendall(struct.pack("!I", len(packet) + 4) + packet)
                    threading.Thread(target=_pump, args=[client, server], daemon=True).start()
                    _pump(server, client)
                finally:
                    self._open -= {client, server}


def _renamed(packet: bytes, real: dict[str, str]) -> bytes:
    words = packet[4:].rstrip(b"\0").split(b"\0")
    given = dict(zip(words[::2], words[1::2], strict=True))
    asked = given.get(b"database", given[b"user"]).decode()
    given[b"database"] = real.get(asked, asked).encode()
    return packet[:4] + b"".join(key + b"\0" + value + b"\0" for key, value in given.items()) + b"\0"


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = connection.recv(size - len(found))
        if not piece:
            raise ConnectionError("it hung up")
        found += piece
    return found


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
