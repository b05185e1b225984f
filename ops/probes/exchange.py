"""One request by HTTP and its answer, or in words why there is none."""

from __future__ import annotations

import errno
import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urljoin

from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import parse_url

from ops.checks.http import Request
from ops.checks.limits import number
from ops.errors import ConfigurationError
from ops.probes.connection import Connection, Deadline, TlsConnection, trusting
from ops.secrets import Secret

LARGEST = 8 * 2**20
"""Bytes of an answer that are read."""
_SAFE = ("GET", "HEAD", "OPTIONS")


class Unanswered(Exception):
    """There is no answer, or none that is whole.

    Args:
        value: why, in words.
        hint: what to do about it.
        asked: whether it was asked at all: what could not be is unknown, what was and did not answer has failed.
        certificate: whether that is because of the server's certificate.
        seconds: for which an answer was waited for until the time was over; None: that is not why.
    """

    def __init__(
        self, value: str, hint: str = "", *, asked: bool = True, certificate: bool = False, seconds: float | None = None
    ) -> None:
        super().__init__(value)
        self.value = value
        self.hint = hint
        self.asked = asked
        self.certificate = certificate
        self.seconds = seconds


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Args:
        status: the code.
        headers: whatever their case.
        body: unpacked.
        seconds: from the beginning to the last byte, with the connection where that had to be made.
        url: that was asked.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    url: str

    @property
    def said(self) -> str:
        """Its code with what that means."""
        return f"{self.status} {http.client.responses.get(self.status, '')}".strip()

    @property
    def kind(self) -> str:
        """The type of its content."""
        return self.headers.get("Content-Type", "").split(";")[0].strip().lower()

    @property
    def target(self) -> str | None:
        """Where it redirects to, in full."""
        location = self.headers.get("Location")
        return None if location is None else urljoin(self.url, location)

    @cached_property
    def text(self) -> str:
        """Its body."""
        found = re.search(r"charset=\"?([\w.:-]+)", self.headers.get("Content-Type", ""), re.IGNORECASE)
        try:
            return self.body.decode(found[1] if found else "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")

    @cached_property
    def json(self) -> Any:
        """What its body holds.

        Raises:
            ValueError: no JSON.
        """
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class Exchange:
    """The requests of one check: on one connection for each server, as long as that keeps it, and all in one time.

    Nothing is taken from the environment: neither a proxy, through which the answer would be another one, nor a
    password from ``.netrc``, which nobody meant to send.

    Args:
        seconds: for all of them.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline = Deadline(seconds)
        self._connections: dict[tuple[str, str, int, str | None], Connection] = {}
        self._ends: list[float] = []

    @property
    def valid_until(self) -> float | None:
        """When the first of the certificates ends that were seen: seconds since 1970; None: none was."""
        return min(self._ends, default=None)

    def ask(self, request: Request) -> Answer:
        """Send a request and read all of the answer. Redirections are not followed.

        Raises:
            Unanswered: there is no whole answer.
        """
        began = time.monotonic()
        if self.deadline.over:
            raise Unanswered("the time was over before it was asked", "Give it more: timeout=…", seconds=0.0)
        try:
            connection, target = self._connection(request)
            headers, body = _headers(request), _body(request)
            kept = connection.is_connected
            if not kept:
                connection.close()  # by the server, meanwhile
        except ConfigurationError as error:
            raise Unanswered(error.problem, error.hint, asked=False) from None
        try:
            try:
                return self._asked(connection, request, target, headers, body, began)
            except ConnectionError:
                # It may have closed an idle connection in the very moment in which it was used again.
                if not kept or request.method not in _SAFE:
                    raise
                connection.close()
                return self._asked(connection, request, target, headers, body, began)
        except Exception as error:
            connected = connection.sock is not None
            connection.close()
            raise _words(error, connection.host, connected, time.monotonic() - began) from None

    def _asked(
        self,
        connection: Connection,
        request: Request,
        target: str,
        headers: dict[str, str],
        body: bytes | None,
        began: float,
    ) -> Answer:
        connection.timeout = self.deadline.left()
        connection.request(request.method, target, body, headers, preload_content=False)
        if isinstance(connection, TlsConnection) and connection.valid_until is not None:
            self._ends.append(connection.valid_until)
        response = connection.getresponse()
        read = response.read(LARGEST + 1)
        seconds = time.monotonic() - began
        if len(read) > LARGEST:
            raise Unanswered(
                f"{response.status}, with more than {LARGEST >> 20} MB", "Ask for something shorter", asked=False
            )
        return Answer(response.status, response.headers, read, seconds, request.url)

    def _connection(self, request: Request) -> tuple[Connection, str]:
        try:
            url = parse_url(request.url)
        except LocationParseError:
            raise ConfigurationError(f"{request.url.partition('?')[0]} is no URL", "Look at its host") from None
        scheme, host = str(url.scheme), str(url.host).strip("[]")
        port = url.port or (443 if scheme == "https" else 80)
        at = (scheme, host, port, request.ca_file)
        if at not in self._connections:
            self._connections[at] = (
                TlsConnection(host, port, self.deadline, trusting(request.ca_file))
                if scheme == "https"
                else Connection(host, port, self.deadline)
            )
        return self._connections[at], url.request_uri

    def close(self) -> None:
        """Let the servers go."""
        for connection in self._connections.values():
            connection.close()


def _sendable(headers: dict[str, Secret]) -> dict[str, str]:
    """Headers as they can be sent.

    Raises:
        ConfigurationError: the value of one cannot be.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]*", value.reveal()):
            raise ConfigurationError(
                f"the value for the header {name} holds characters that no header can have",
                "Is there the end of a line in it? Copy it once more",
            )
    return {name: value.reveal() for name, value in headers.items()}


def _headers(request: Request) -> dict[str, str]:
    by_default = {"user-agent": "pyinfra-ops", "accept": "*/*"}
    if request.body is not None and not isinstance(request.body, str):
        by_default["content-type"] = "application/json"
    given = _sendable(request.headers)
    own = {name.lower() for name in given}
    return {**{name: value for name, value in by_default.items() if name not in own}, **given}


def _body(request: Request) -> bytes | None:
    if request.body is None:
        return None
    return (request.body if isinstance(request.body, str) else json.dumps(request.body)).encode()


# By X509_V_ERR_… of OpenSSL.
_CERTIFICATES = {
    9: ("is not valid yet", "Look at the clocks of both"),
    10: ("has expired", "Renew it, and have the server read it"),
    18: ("is self-signed", "Name it as trusted: ca_file=…"),
    19: ("is from an authority that is not trusted", "Name that as trusted: ca_file=…"),
    20: (
        "is from an authority that is not trusted",
        "Does the server send the whole chain? An authority of your own is named by ca_file=…",
    ),
    62: ("is for another host", "Look which one the server has for this name"),
    64: ("is for another host", "Look which one the server has for this address"),
}
# Whatever else goes wrong with a connection says more of this machine than of the server.
_SERVERS = {
    errno.ECONNREFUSED: ("the connection was refused", "Does it run, and listen there?"),
    errno.ECONNRESET: ("the connection was reset", "Look at its log"),
    errno.EPIPE: ("the connection was closed before all was sent", "Look at its log"),
    errno.ETIMEDOUT: ("no connection in time", "Does it run? Is there a firewall in between?"),
    errno.EHOSTUNREACH: ("no route to the host", "Does it run?"),
}


def _words(error: Exception, host: str, connected: bool, seconds: float) -> Unanswered:
    reading = isinstance(error, HTTPError)  # urllib3's own say that it was the body; what it was is their cause
    if reading and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, Unanswered):
        return error
    if isinstance(error, TimeoutError) and error.errno is None:
        why = f"no {'whole answer' if connected else 'connection'} in {number(round(seconds, 1))} s"
        return Unanswered(why, "Look why it is slow, or give it more: timeout=…", seconds=seconds)
    if isinstance(error, ssl.SSLCertVerificationError):
        said, hint = _CERTIFICATES.get(error.verify_code, (f"is not valid: {error.verify_message}", ""))
        return Unanswered(f"its certificate {said}", hint, certificate=True)
    if isinstance(error, ssl.SSLError):
        said = (error.reason or "it was closed").replace("_", " ").lower()
        return Unanswered(f"no connection in TLS: {said}", "Does it speak TLS at this port?")
    if isinstance(error, socket.gaierror | UnicodeError):
        return Unanswered(f"the name {host} cannot be resolved", "Look at the name, and at its DNS", asked=False)
    if reading and isinstance(error, http.client.IncompleteRead | ConnectionError):
        return Unanswered("the connection was closed in the middle of the answer", "Look at its log")
    if reading and not isinstance(error, OSError):
        return Unanswered("its answer cannot be unpacked", "Look at its Content-Encoding and Transfer-Encoding")
    if isinstance(error, http.client.RemoteDisconnected):
        return Unanswered("the connection was closed without an answer", "Look at its log")
    if isinstance(error, http.client.HTTPException):
        return Unanswered("its answer is not in HTTP", "Does it speak HTTP at this port?")
    if isinstance(error, OSError):
        if error.errno in _SERVERS:
            return Unanswered(*_SERVERS[error.errno])
        return Unanswered(f"no connection from here: {error.strerror or error}", "Look at this network", asked=False)
    raise error
