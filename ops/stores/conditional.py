"""Whether a store keeps the promise that everything else rests on."""

from __future__ import annotations

from ops.errors import PreconditionFailed, WeakStore
from ops.stores.base import Documents


def require_conditional_writes(store: Documents, key: str, etag: str, content: bytes) -> None:
    """Try two writes to a lock just taken that must be refused; some providers do them without a word.

    Args:
        store: the store.
        key: the lock's key.
        etag: what writing it answered.
        content: what was written there; the tries differ from it by one line feed, so that it stays readable.

    Raises:
        WeakStore: one of the writes was done. The lock is removed then, as it is worth nothing.
    """
    probe = content + b"\n"
    try:
        store.put_if_absent(key, probe)
    except PreconditionFailed:
        pass
    else:
        raise _weak(store, key, "writes over an object that a conditional write must not touch (If-None-Match)")
    try:
        store.replace(key, probe, _other(etag))
    except PreconditionFailed:
        pass
    else:
        raise _weak(store, key, "replaces an object although it is not the one that was named (If-Match)")


def _other(etag: str) -> str:
    """An etag of the same shape that is not this one."""
    other = etag.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    return other if other != etag else f"{etag}0"


def _weak(store: Documents, key: str, what: str) -> WeakStore:
    store.delete([key])
    return WeakStore(
        f"{store.location} {what}: two runs could work at the same time",
        "Use AWS S3, Cloudflare R2, SeaweedFS or a directory",
    )
