"""A bucket behind the S3 interface: AWS, Cloudflare R2, SeaweedFS and others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache, cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from ops.errors import ObjectMissing, PreconditionFailed, StoreError
from ops.storage import S3
from ops.stores.base import Entry, Source, Store, checked
from ops.stores.download import Download
from ops.stores.failures import Failures
from ops.stores.multipart import Upload

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_s3 import S3Client

# At DEBUG it logs every request's headers and body.
logging.getLogger("botocore").setLevel(logging.WARNING)


class S3Store(Store):
    """Backups in a bucket.

    Args:
        description: which bucket, and its secrets.
    """

    connect_timeout = 10.0
    """Seconds."""
    read_timeout = 60.0
    """Seconds without a byte."""
    tries = 5
    """Of every request, the first included; the waits between them grow to a few seconds."""

    def __init__(self, description: S3) -> None:
        self._description = description
        self._bucket = description.bucket
        prefix = description.prefix.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self.location = description.location
        self._failures = Failures(self.location, description)

    def put(self, key: str, source: Source, size_hint: int = 0) -> int:
        return Upload(self._client, self._bucket, self._name(key), self._failures, size_hint).send(source)

    def put_if_absent(self, key: str, content: bytes) -> str:
        return self._write_if(key, content, IfNoneMatch="*")

    def replace(self, key: str, content: bytes, etag: str) -> str:
        try:
            return self._write_if(key, content, IfMatch=etag)
        except ObjectMissing:
            raise PreconditionFailed(f"{key} went away from {self.location}", "Somebody else removed it") from None

    def write(self, key: str, content: bytes) -> str:
        name = self._name(key)
        with self._failures.of(name):
            return self._client.put_object(Bucket=self._bucket, Key=name, Body=content)["ETag"]

    def read(self, key: str, limit: int = 64 * 2**20) -> tuple[bytes, str]:
        download = Download(self._client, self._bucket, self._name(key), self._failures)
        if download.size > limit:
            download.close()
            raise StoreError(
                f"{key} in {self.location} has {download.size} bytes, more than the {limit} expected",
                "Look at who wrote it",
            )
        content = bytearray()
        download.into(content.extend)
        return bytes(content), download.etag

    def get(self, key: str, sink: Callable[[bytes], object], start: int = 0, length: int | None = None) -> int:
        if length == 0:
            self.head(key)
            return 0
        return Download(self._client, self._bucket, self._name(key), self._failures, start, length).into(sink)

    def list(self, prefix: str = "") -> Iterable[Entry]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        entries = []
        with self._failures.of():
            for page in pages:
                now = self._date(page)
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(self._prefix)
                    entries.append(Entry(key, found["Size"], _age(now, found["LastModified"]), found["ETag"]))
        # SeaweedFS lists by directory: "a/b" before "a-b".
        return sorted(entries, key=lambda entry: entry.key)

    def head(self, key: str) -> Entry:
        name = self._name(key)
        try:
            with self._failures.of(name):
                found = self._client.head_object(Bucket=self._bucket, Key=name)
        except ObjectMissing:
            self._require_bucket()
            raise
        return Entry(key, found["ContentLength"], _age(self._date(found), found["LastModified"]), found["ETag"])

    def delete(self, keys: Iterable[str]) -> None:
        # One by one: DeleteObjects wants a checksum header that not every provider takes, and keeps no order.
        for key in keys:
            name = self._name(key)
            with self._failures.of(name):
                self._client.delete_object(Bucket=self._bucket, Key=name)

    def abort_uploads(self, prefix: str) -> int:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        with self._failures.of():
            unfinished = [upload for page in pages for upload in page.get("Uploads", [])]
        for upload in unfinished:
            try:
                with self._failures.of(upload["Key"]):
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
            except ObjectMissing:
                continue  # it ended meanwhile
        return len(unfinished)

    @cached_property
    def _client(self) -> S3Client:
        from botocore.config import Config

        with _one_client_at_a_time:
            client = _session().client(
                "s3",
                endpoint_url=self._description.endpoint,
                region_name=self._description.region,
                aws_access_key_id=self._description.access_key.reveal(),
                aws_secret_access_key=self._description.secret_key.reveal(),
                config=Config(
                    s3={"addressing_style": "path" if self._description.endpoint else "auto"},
                    # R2 refuses the checksum trailers that are the default. Every body is covered by its signature.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    retries={"mode": "standard", "total_max_attempts": self.tries},
                    connect_timeout=self.connect_timeout,
                    read_timeout=self.read_timeout,
                    tcp_keepalive=True,
                ),
            )
        client.meta.events.register("needs-retry.s3", cast("Any", self._wait_when_throttled))
        return client

    def _wait_when_throttled(self, response: Any, attempts: int, **_: object) -> float | None:
        """Seconds to wait after R2's answer to more than one write per second to a key; botocore would give up."""
        throttled = response is not None and response[0].status_code == 429
        return 1.1 if throttled and attempts < self.tries else None

    def _name(self, key: str) -> str:
        return self._prefix + checked(key)

    def _write_if(self, key: str, content: bytes, **condition: Any) -> str:
        name = self._name(key)
        with self._failures.of(name):
            try:
                return self._client.put_object(Bucket=self._bucket, Key=name, Body=content, **condition)["ETag"]
            except ClientError as error:
                refusal = self._failures.refusal(error, name)
                retried = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
        # When the answer to the first try was lost, what the second one finds in its way may be our own.
        if isinstance(refusal, PreconditionFailed) and retried:
            try:
                found, etag = self.read(key)
            except ObjectMissing:
                raise refusal from None
            if found == content:
                return etag
        raise refusal

    def _require_bucket(self) -> None:
        """An answer to HEAD has no body that would tell a missing bucket from a missing key."""
        try:
            with self._failures.of():
                self._client.head_bucket(Bucket=self._bucket)
        except ObjectMissing:
            raise self._failures.no_bucket() from None

    def _date(self, answer: Any) -> datetime:
        """The store's own clock, from the Date header."""
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if date is None:
            raise StoreError(f"{self.location} does not say what time it is", "Use a server that sends a Date header")
        return parsedate_to_datetime(date)


# Making a client is the one thing that botocore does not let two threads do with one session.
_one_client_at_a_time = Lock()


@cache
def _session() -> Session:
    """One for the whole process, because each reads and parses the descriptions of the services anew."""
    # Loaded when first needed: it takes longer than all the rest of a worker's start.
    import boto3
    import botocore.session

    # What the description says is all there is: no profile, no file and no metadata service of this machine.
    nowhere = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "ignore_configured_endpoint_urls": (None, None, True, None),
    }
    return boto3.Session(botocore_session=botocore.session.Session(session_vars=nowhere))


def _age(now: datetime, written: datetime) -> float:
    # A Date header has whole seconds only, so it may lie before the time of a write just done.
    return max(0.0, (now - written).total_seconds())
