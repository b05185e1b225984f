"""A directory on another machine, for small objects: each is asked of the worker there."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from typing import Any

from ops.stores.base import Documents, Entry

LIMIT = 8 * 2**20
"""Bytes. What is larger does not travel in an answer."""


class RemoteDocuments(Documents):
    """Small objects in a directory of the runner.

    Args:
        location: what messages call it.
        ask: puts a request to the worker there, ``ops.worker.request.Small``'s fields, and gives its answer.
    """

    def __init__(self, location: str, ask: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.location = location
        self._ask = ask

    def put_if_absent(self, key: str, content: bytes) -> str:
        return self._written("put_if_absent", key, content)

    def replace(self, key: str, content: bytes, etag: str) -> str:
        return self._written("replace", key, content, etag)

    def write(self, key: str, content: bytes) -> str:
        return self._written("write", key, content)

    def read(self, key: str, limit: int = LIMIT) -> tuple[bytes, str]:
        answer = self._ask({"do": "read", "key": key, "limit": min(limit, LIMIT)})
        return b64decode(answer["content"]), answer["etag"]

    def list(self, prefix: str = "") -> Iterable[Entry]:
        return [Entry(*entry) for entry in self._ask({"do": "list", "key": prefix})["entries"]]

    def head(self, key: str) -> Entry:
        return Entry(*self._ask({"do": "head", "key": key})["entries"][0])

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._ask({"do": "delete", "key": key})

    def _written(self, do: str, key: str, content: bytes, etag: str = "") -> str:
        answer = self._ask({"do": do, "key": key, "content": b64encode(content).decode(), "etag": etag})
        return str(answer["etag"])
