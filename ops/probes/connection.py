"""A connection to a server by HTTP on which nothing lasts beyond its deadline, however little comes at a time."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import certifi
from urllib3.connection import HTTPConnection

from ops.errors import ConfigurationError


class Deadline:
    """A moment until which all that is waited for must have come.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Seconds.

        Raises:
            TimeoutError: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def extend(self, seconds: float) -> None:
        """Move it."""
        self._end += seconds


class _Socket(socket.socket):
    # A timeout of sockets begins anew with every byte that comes, and a server may drip; this one does not.
    deadline: Deadline

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(*arguments)


class _TlsSocket(ssl.SSLSocket):
    deadline: Deadline

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(*arguments)


class Connection(HTTPConnection):
    """In clear.

    Args:
        host: its name or address.
        port: TCP port.
        deadline: until when everything must be over.
    """

    def __init__(self, host: str, port: int, deadline: Deadline) -> None:
        super().__init__(host, port)
        self._deadline = deadline

    def _new_conn(self) -> socket.socket:
        """See ``HTTPConnection``: what ``connect`` calls.

        Raises:
            OSError: no connection, by the name, by each of its addresses, or in time.
        """
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        failures: list[OSError] = []
        for number, (family, kind, protocol, _, address) in enumerate(found):
            try:
                sock = _Socket(family, kind, protocol)
            except OSError as error:  # no such family here, or too many files are open
                failures.append(error)
                continue
            try:
                # Its share of the time, so that one that swallows everything leaves some for the next.
                sock.settimeout(self._deadline.left() / (len(found) - number))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                failures.append(error)
                continue
            sock.deadline = self._deadline
            return sock
        # The first is the one that the system held for the best, and says most.
        raise failures[0]


class TlsConnection(Connection):
    """In TLS, with a certificate that is valid, for this host, and from an authority that is trusted.

    Args:
        host: its name or address.
        port: TCP port.
        deadline: until when everything must be over.
        context: what is trusted.
    """

    default_port = 443  # type: ignore[misc]  # as urllib3's own

    def __init__(self, host: str, port: int, deadline: Deadline, context: ssl.SSLContext) -> None:
        super().__init__(host, port, deadline)
        self._context = context
        self.valid_until: float | None = None
        """When the certificate ends: seconds since 1970; None before there was a connection."""

    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        try:
            plain.settimeout(self._deadline.left())
            # Not by urllib3, which changes the context for every connection: it is shared by all threads.
            sock = self._context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        assert isinstance(sock, _TlsSocket)
        sock.deadline = self._deadline
        certificate = sock.getpeercert() or {}
        self.valid_until = float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))
        return sock


_contexts: dict[str | None, ssl.SSLContext] = {}
_making = threading.Lock()


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """The system's authorities, and those of a file. Made once: reading them takes longer than most answers.

    Args:
        ca_file: certificates in PEM; none: the system's alone.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    with _making:
        if ca_file not in _contexts:
            _contexts[ca_file] = _made(ca_file)
        return _contexts[ca_file]


def _made(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if _system_has_some() else certifi.where())
    context.sslsocket_class = _TlsSocket
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    except ssl.SSLError:
        raise ConfigurationError(f"there is no certificate in {ca_file}", "It must hold them in PEM") from None
    except OSError as error:
        raise ConfigurationError(
            f"{ca_file} cannot be read: {error.strerror}", "ca_file=… is a file on the runner"
        ) from None
    return context


def _system_has_some() -> bool:
    """Small images of containers have none."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile is not None or (paths.capath is not None and any(Path(paths.capath).iterdir()))
