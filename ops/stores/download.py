"""Read an object from a bucket in order, over as many connections as break."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ops.errors import PreconditionFailed, StoreError
from ops.stores.failures import BROKEN, Failures

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

CHUNK = 2**20
TRIES = 5  # in a row, without a whole chunk between them


class Download:
    """One object, or a range of it, as it is when it is opened.

    Args:
        client: the S3 client.
        bucket: the bucket's name.
        name: the object's name in the bucket.
        failures: says what goes wrong.
        start: the first byte.
        length: how many bytes at most; None for all.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        name: str,
        failures: Failures,
        start: int = 0,
        length: int | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._name = name
        self._failures = failures
        self._start = start
        self._end = None if length is None else start + length
        self.etag = ""
        self._body: StreamingBody | None = self._open(start)
        self.size = 0 if self._body is None else self._length

    def into(self, sink: Callable[[bytes], object]) -> int:
        """Hand over every byte, in chunks of about a MiB; answers how many there were."""
        handed, breaks = 0, 0
        try:
            while handed < self.size and self._body is not None:
                try:
                    chunk = self._body.read(min(CHUNK, self.size - handed))
                except BROKEN as error:
                    self._body.close()
                    breaks += 1
                    if breaks == TRIES:
                        raise self._failures.breakage(error, self._name) from None
                    time.sleep(0.1 * 2**breaks)
                    self._body = self._open(self._start + handed)
                    continue
                sink(chunk)
                handed += len(chunk)
                if len(chunk) == CHUNK:
                    breaks = 0
        finally:
            self.close()
        return handed

    def close(self) -> None:
        """Let go of the connection."""
        if self._body is not None:
            self._body.close()

    def _open(self, offset: int) -> StreamingBody | None:
        """The body from ``offset`` on; None when the object ends before."""
        asked: dict[str, Any] = {}
        if offset or self._end is not None:
            asked["Range"] = f"bytes={offset}-{'' if self._end is None else self._end - 1}"
        if self.etag:
            asked["IfMatch"] = self.etag
        try:
            with self._failures.of(self._name):
                try:
                    answer = self._client.get_object(Bucket=self._bucket, Key=self._name, **asked)
                except ClientError as error:
                    if error.response["ResponseMetadata"]["HTTPStatusCode"] == 416:
                        return None
                    raise
        except PreconditionFailed:
            raise self._changed() from None
        if self.etag and answer["ETag"] != self.etag:
            raise self._changed()
        if "Range" in asked and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
            raise StoreError(f"{self._name}: the server ignores ranges", "Use another store")
        self.etag = answer["ETag"]
        self._length = answer["ContentLength"]
        return answer["Body"]

    def _changed(self) -> StoreError:
        return StoreError(f"{self._name} changed while it was read", "Run again")
