"""What an S3 client raises, as one line and a hint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)
from urllib3.exceptions import HTTPError

from ops.errors import (
    ObjectMissing,
    PreconditionFailed,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnreachable,
)
from ops.storage import S3

BROKEN = (BotoCoreError, HTTPError, OSError)
"""What reading an answer's body may raise."""

_NO_CONNECTION = (ConnectionError, HTTPClientError, IncompleteReadError, HTTPError, OSError)
_WRONG_ID = {"InvalidAccessKeyId", "InvalidToken", "ExpiredToken"}
_WRONG_SECRET = {"SignatureDoesNotMatch"}
_WRONG_CLOCK = {"RequestTimeTooSkewed", "RequestExpired"}
_LOCKED = {"ObjectLockedByBucketPolicy"}
_WRONG_REGION = {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "TooManyRequests", "Throttling"}
_CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict"}


class Failures:
    """Says failures of one bucket.

    Args:
        location: the store's.
        description: where the names of its secrets are.
    """

    def __init__(self, location: str, description: S3) -> None:
        self._location = location
        self._bucket = description.bucket
        self._region = description.region
        self._access_key = description.access_key
        self._secret_key = description.secret_key

    @contextmanager
    def of(self, key: str = "") -> Iterator[None]:
        """Whatever the client raises in the block, as a ``StoreError``.

        Args:
            key: what the request is about; the bucket when empty.
        """
        try:
            yield
        except ClientError as error:
            raise self.refusal(error, key) from None
        except BROKEN as error:
            raise self.breakage(error, key) from None

    def refusal(self, error: ClientError, key: str = "") -> StoreError:
        """The server's own answer."""
        answer: Any = error.response
        code = str(answer.get("Error", {}).get("Code", ""))
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        words = str(answer.get("Error", {}).get("Message", ""))
        what = f"{key} in {self._location}" if key else self._location
        if code == "NoSuchBucket":
            return self.no_bucket()
        if code in _CONFLICT or status == 412:
            return PreconditionFailed(f"{what} is not what it was expected to be", "Somebody else wrote it: look again")
        if code in {"NoSuchKey", "NotFound"} or status == 404:
            return ObjectMissing(f"there is no {what}" if key else f"{what} was not found ({code})")
        if denied := self._denied(code, status, words):
            return StoreDenied(f"{what}: refused ({code})", denied)
        if code in _WRONG_REGION:
            return StoreError(f"{what}: {code}", f"Look at the region, now {self._region}, and at the endpoint")
        if code in _BUSY or status == 429 or (status >= 500 and status != 501):
            return StoreUnreachable(
                f"{what}: the server still answers {status} {code} after several tries", "Try again later"
            )
        return StoreError(f"{what}: the server answers {status} {code}: {words}", "Look up this code at the provider")

    def no_bucket(self) -> StoreMissing:
        """The bucket is not there."""
        return StoreMissing(
            f"there is no bucket {self._bucket} ({self._location})", "Create it, or correct bucket and endpoint"
        )

    def breakage(self, error: BaseException, key: str = "") -> StoreError:
        """There was no answer, or it broke off."""
        what = f"{key} in {self._location}" if key else self._location
        if isinstance(error, SSLError):
            return StoreUnreachable(
                f"{what}: no TLS connection ({_reason(error)})",
                "Look at the endpoint's certificate",
            )
        if isinstance(error, _NO_CONNECTION):
            return StoreUnreachable(
                f"{what}: no connection ({_reason(error)})", "Look at the endpoint and the network, then run again"
            )
        return StoreError(f"{what}: {type(error).__name__}: {error}", "Look at the store's description")

    def _denied(self, code: str, status: int, words: str) -> str:
        """The hint when credentials or rights are at fault, else nothing."""
        keys = f"{self._access_key!r} and {self._secret_key!r}"
        # R2 says so when an access key id has a wrong length.
        if code in _WRONG_ID or (code == "InvalidArgument" and "access key" in words):
            return "Look at the access key id: the store's access_key in the inventory"
        if code in _WRONG_SECRET:
            return "Look at the secret access key: the store's secret_key in the inventory"
        if code in _WRONG_CLOCK:
            return "Set this machine's clock: a signature is only good for 15 minutes"
        if code in _LOCKED:
            return "A lock rule of the bucket forbids it until the object is older"
        if status in {401, 403} or code in {"AccessDenied", "Unauthorized"}:
            return f"Look at {keys}, and whether they may read, write, list and delete in the bucket {self._bucket}"
        return ""


def _reason(error: BaseException) -> str:
    """The operating system's or the library's word for it, without addresses of objects and URLs."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return {
        "ReadTimeoutError": "no answer in time",
        "ConnectTimeoutError": "no answer in time",
        "ConnectionClosedError": "closed by the other side",
        "ResponseStreamingError": "broke off in the middle",
        "IncompleteReadError": "broke off in the middle",
        "EndpointConnectionError": "could not connect",
    }.get(type(error).__name__, type(error).__name__)
