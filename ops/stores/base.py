"""The one interface of every place where backups lie."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ops.errors import StoreError

# A leading dot is left to the stores themselves, for files that no listing shows.
_KEY = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*(/[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*)*")


def checked(key: str) -> str:
    """The key itself, if it is one.

    Raises:
        StoreError: it is absolute, or a part of it is empty, begins with a dot, or holds a control character.
    """
    if not _KEY.fullmatch(key):
        raise StoreError(f"{key!r} cannot be a key", "Its parts must not be empty nor begin with a dot")
    return key


@dataclass(frozen=True)
class Entry:
    """An object in a store.

    Args:
        key: its name below the store's prefix.
        size: bytes.
        age: seconds since it was written, by the store's own clock at both ends, so that ours may be wrong.
        etag: changes whenever the content does.
    """

    key: str
    size: int
    age: float
    etag: str


class Source(Protocol):
    """A stream of unknown length.

    ``readinto`` fills the start of the buffer and answers how many bytes it wrote, 0 at the end. Whatever it
    raises aborts the put that reads it and leaves nothing in the store.
    """

    def readinto(self, buffer: memoryview, /) -> int: ...


class Documents(ABC):
    """Small objects. Keys are relative, with ``/`` between their parts, none of which begins with a dot.

    Every method may raise ``StoreUnreachable`` (after bounded retries; may be tried again), ``StoreDenied``,
    ``StoreMissing`` (no such bucket or directory) or plain ``StoreError`` (disk full, server failure); none
    leaves anything half-written under a key.
    """

    location: str
    """What messages call it: ``s3://bucket/prefix at http://host:port`` or ``/path``. No secret."""

    @abstractmethod
    def put_if_absent(self, key: str, content: bytes) -> str:
        """Write a small object if, and only if, there is none; answers its etag.

        Raises:
            PreconditionFailed: there is one.
        """

    @abstractmethod
    def replace(self, key: str, content: bytes, etag: str) -> str:
        """Write a small object over the one that has this etag; answers the new etag.

        Raises:
            PreconditionFailed: the object changed or went away.
        """

    @abstractmethod
    def write(self, key: str, content: bytes) -> str:
        """Write a small object whether or not there is one; answers its etag."""

    @abstractmethod
    def read(self, key: str, limit: int = 64 * 2**20) -> tuple[bytes, str]:
        """A small object's whole content and its etag.

        Raises:
            ObjectMissing: no such key.
            StoreError: it is larger than ``limit`` bytes.
        """

    @abstractmethod
    def list(self, prefix: str = "") -> Iterable[Entry]:
        """Every object whose key starts with ``prefix``, in the order of their keys."""

    @abstractmethod
    def head(self, key: str) -> Entry:
        """One object's entry.

        Raises:
            ObjectMissing: no such key.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, in the order given; a key that is not there is no error."""


class Store(Documents):
    """Where backups lie: documents, and objects of any size, which are streamed."""

    @abstractmethod
    def put(self, key: str, source: Source, size_hint: int = 0) -> int:
        """Write a stream; the key appears with its last byte or not at all. Uses bounded memory.

        Args:
            key: a key nobody else writes.
            source: where the bytes come from.
            size_hint: an upper guess of the size in bytes, for choosing part sizes; 0 when there is none.

        Returns:
            The number of bytes written.
        """

    @abstractmethod
    def get(self, key: str, sink: Callable[[bytes], object], start: int = 0, length: int | None = None) -> int:
        """Stream an object, or a range of it, in order into ``sink``; resumes where a broken connection ended.

        What ``sink`` raises ends the transfer and is passed on.

        Returns:
            The number of bytes handed to ``sink``.

        Raises:
            ObjectMissing: no such key.
        """

    @abstractmethod
    def abort_uploads(self, prefix: str) -> int:
        """Throw away unfinished uploads of keys that start with ``prefix``; answers how many there were.

        An S3 server cannot tell an upload that is still going on: call it only where nobody else uploads.
        """
