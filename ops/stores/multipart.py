"""Put a stream of unknown length into a bucket, in parts and in bounded memory."""

from __future__ import annotations

import io
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from ops.errors import StoreError
from ops.stores.base import Source
from ops.stores.failures import Failures

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MIB = 2**20
SMALLEST = 8 * MIB
LARGEST = 24 * MIB
MOST_PARTS = 10_000
CONNECTIONS = 2
BUFFERS = CONNECTIONS + 1  # one is filled while the others are sent


def part_size(size_hint: int) -> int:
    """Bytes in every part but the last, which R2 wants equal: the smallest with which the parts suffice."""
    needed = -(-size_hint // MOST_PARTS)
    return min(max(SMALLEST, -(-needed // MIB) * MIB), LARGEST)


class Upload:
    """One stream on its way to one key.

    s3transfer holds twice as much, as it copies every part out of the stream and keeps more of them waiting: with the
    largest parts that would be more than all the rest of the process.

    Args:
        client: the S3 client.
        bucket: the bucket's name.
        name: the object's name in the bucket.
        failures: says what goes wrong.
        size_hint: an upper guess of the stream's length in bytes.
    """

    def __init__(self, client: S3Client, bucket: str, name: str, failures: Failures, size_hint: int) -> None:
        self._client = client
        self._bucket = bucket
        self._name = name
        self._failures = failures
        self._part_size = part_size(size_hint)
        self._id = ""
        self._etags: dict[int, str] = {}
        self._pending: dict[Future[str], tuple[int, bytearray]] = {}

    def send(self, source: Source) -> int:
        """Send it all, or leave nothing; answers how many bytes there were."""
        first = bytearray(self._part_size)
        got = _fill(first, source)
        if got < self._part_size:
            del first[got:]
            with self._failures.of(self._name):
                self._client.put_object(Bucket=self._bucket, Key=self._name, Body=_body(first))
            return got
        with self._failures.of(self._name):
            self._id = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._name)["UploadId"]
        pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="upload")
        try:
            size = self._send_parts(pool, first, source)
            self._complete(size)
        except BaseException:
            # A part that arrives after the abort would stay for ever: first wait for those on their way.
            pool.shutdown(cancel_futures=True)
            self._abort()
            raise
        pool.shutdown()
        return size

    def _send_parts(self, pool: ThreadPoolExecutor, buffer: bytearray, source: Source) -> int:
        spare = [bytearray(self._part_size) for _ in range(BUFFERS - 1)]
        number, got, size = 0, len(buffer), 0
        while got:
            number += 1
            if number > MOST_PARTS:
                raise StoreError(
                    f"{self._name} is larger than the {size / 1e9:.0f} GB that fit into "
                    f"{MOST_PARTS} parts of {self._part_size // MIB} MiB",
                    "Back up a database of this size with pgBackRest",
                )
            del buffer[got:]
            self._pending[pool.submit(self._send_part, number, buffer)] = number, buffer
            size += got
            if got < self._part_size:
                break
            buffer = spare.pop() if spare else self._collect()
            got = _fill(buffer, source)
        while self._pending:
            self._collect()
        return size

    def _send_part(self, number: int, part: bytearray) -> str:
        with self._failures.of(self._name):
            return self._client.upload_part(
                Bucket=self._bucket, Key=self._name, UploadId=self._id, PartNumber=number, Body=_body(part)
            )["ETag"]

    def _collect(self) -> bytearray:
        """Wait for a part to arrive; answers its buffer, free again."""
        future = wait(self._pending, return_when=FIRST_COMPLETED).done.pop()
        number, buffer = self._pending.pop(future)
        self._etags[number] = future.result()
        return buffer

    def _complete(self, size: int) -> None:
        parts: list[CompletedPartTypeDef] = [{"PartNumber": n, "ETag": etag} for n, etag in sorted(self._etags.items())]
        try:
            with self._failures.of(self._name):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=self._name, UploadId=self._id, MultipartUpload={"Parts": parts}
                )
        except StoreError:
            # When only the answer was lost, the retry finds no such upload any more; the object tells.
            if not self._arrived(size):
                raise

    def _arrived(self, size: int) -> bool:
        try:
            with self._failures.of(self._name):
                found = self._client.head_object(Bucket=self._bucket, Key=self._name)
        except StoreError:
            return False
        return found["ContentLength"] == size and found["ETag"].strip('"').endswith(f"-{len(self._etags)}")

    def _abort(self) -> None:
        # The failure that led here is the one to be told; what stays is found by abort_uploads.
        with suppress(StoreError), self._failures.of(self._name):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._name, UploadId=self._id)


def _fill(buffer: bytearray, source: Source) -> int:
    """Fill the buffer unless the stream ends before; answers how far."""
    got = 0
    with memoryview(buffer) as view:
        while got < len(buffer):
            with view[got:] as rest:
                count = source.readinto(rest)
            if not count:
                break
            got += count
    return got


class _Part(io.RawIOBase):
    """A buffer as a file. A whole buffer is sent by one system call with one timeout, which a slow network exceeds."""

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self._place = 0

    def read(self, size: int = -1, /) -> bytes:
        start = self._place
        end = len(self._buffer) if size < 0 else min(start + size, len(self._buffer))
        self._place = end
        with memoryview(self._buffer) as view:
            return bytes(view[start:end])

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._buffer)}[whence]
        self._place = origin + offset
        return self._place

    def tell(self) -> int:
        return self._place


def _body(buffer: bytearray) -> IO[Any]:
    return cast("IO[Any]", _Part(buffer))
