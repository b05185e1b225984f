"""A cloud's API: bounded retries by its own rules, timeouts always, one line for whatever goes wrong."""

from __future__ import annotations

import re
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from ops.errors import ConfigurationError, PlatformDenied, PlatformUnreachable, ServiceError, ServiceMissing
from ops.secrets import Secret

TRIES = 5
LONGEST_WAIT = 30.0
"""Seconds that a Retry-After may ask for; what asks for more is not tried again."""
TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and without a byte."""


class Api:
    """An API that speaks JSON.

    Args:
        name: whose, in words: ``Fly``.
        base: URL that paths are joined to.
        token: sent as a Bearer token, or None.
        headers: sent with every request.
    """

    def __init__(
        self, name: str, base: str, token: Secret | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self._base = base.rstrip("/")
        self._token = token
        self._session = requests.Session()
        self._session.trust_env = False  # no .netrc: it would replace the token
        self._session.headers.update(headers or {})
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {sendable(token)}"
        adapter = HTTPAdapter(max_retries=_READS)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def ask(self, method: str, path: str, *, json: Any = None, params: dict[str, str] | None = None,
            headers: dict[str, str] | None = None, reads: bool = False) -> Any:  # fmt: skip
        """Send a request; what was answered, parsed.

        A GET is tried again on whatever may pass. Anything else only when it was surely not carried out: no
        connection, 423, 429, 503.

        Args:
            method: of HTTP.
            path: joined to the base.
            json: the body.
            params: of the query.
            headers: of this request alone.
            reads: it changes nothing although it is no GET, as a query of GraphQL.

        Raises:
            PlatformUnreachable: no answer, or none in JSON.
            PlatformDenied: 401 or 403.
            ServiceMissing: 404.
            ApiError: any other refusal.
        """
        url = f"{self._base}/{path.lstrip('/')}" if path else self._base
        adapter = self._session.get_adapter(url)
        adapter.max_retries = _READS if reads or method == "GET" else _WRITES  # type: ignore[attr-defined]
        try:
            response = self._session.request(
                method, url, json=json, params=params, headers=headers, timeout=TIMEOUT, allow_redirects=False
            )
        except _TooLong as later:
            raise ServiceError(
                f"{self.name} asks to be left alone for {later.seconds:g} s", "Wait that long, then try again"
            ) from None
        except requests.exceptions.RequestException as error:
            raise PlatformUnreachable(
                f"{self.name} did not answer at {self._base}: {_reason(error)}", "Look at the network, then try again"
            ) from None
        return self._parsed(response)

    def _parsed(self, response: requests.Response) -> Any:
        code = response.status_code
        if not response.content:
            body = None
        else:
            try:
                body = response.json()
            except requests.exceptions.JSONDecodeError:
                kind = response.headers.get("Content-Type", "no content type").split(";")[0]
                raise PlatformUnreachable(
                    f"{self.name} answered {code} with {kind} instead of JSON at {self._base}",
                    "Is that its API, and is no proxy in between? Then try again",
                ) from None
        if code < 300:
            return body
        said = f"{self.name} answered {code}{_said(body)}"
        if code in (401, 403):
            raise PlatformDenied(said, f"Look at {self._token!r} and what it may do" if self._token else "")
        if code == 404:
            raise ServiceMissing(said, "Look at the names in the inventory")
        raise ApiError(said, code, body)


class ApiError(ServiceError):
    """The API refused.

    Args:
        said: one line.
        code: of HTTP.
        body: what was answered, parsed.
    """

    def __init__(self, said: str, code: int, body: Any) -> None:
        busy = code in (423, 429) or code >= 500
        super().__init__(said, "Try again later" if busy else "")
        self.code = code
        self.body = body


def sendable(token: Secret) -> str:
    """A token as it can stand in a header.

    Raises:
        ConfigurationError: it holds what no token holds, such as the rest of a line that was copied.
    """
    revealed = token.reveal()
    if not re.fullmatch(r"[\x21-\x7e]+", revealed):
        raise ConfigurationError(f"{token!r} holds characters that no token has, or none", "Copy it once more")
    return revealed


class _TooLong(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class _Patient(Retry):
    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds, a date, or what some servers say instead: fractions, and nothing that can be understood."""
        try:
            asked = float(retry_after)
        except ValueError:
            try:
                asked = super().parse_retry_after(retry_after)
            except InvalidHeader:
                asked = 0.0
        if asked > LONGEST_WAIT:
            raise _TooLong(asked)
        return max(0.0, asked)


_LIMITS = {"backoff_factor": 0.3, "allowed_methods": None, "raise_on_status": False, "redirect": 0}
_READS = _Patient(TRIES, connect=2, read=2, status_forcelist=(423, 429, 500, 502, 503, 504), **_LIMITS)  # type: ignore[arg-type]
_WRITES = _Patient(TRIES, connect=2, read=0, other=0, status_forcelist=(423, 429, 503), **_LIMITS)  # type: ignore[arg-type]


def _said(body: Any) -> str:
    """What the common shapes of error bodies say."""
    if isinstance(body, dict):
        errors = body.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else body.get("error", body)
        message = (first.get("message") or first.get("error")) if isinstance(first, dict) else first
        if message:
            return f": {str(message)[:300]}"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return type(error).__name__
