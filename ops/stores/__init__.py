"""Where backups lie: one interface, one file a variety, one line a variety here."""

from __future__ import annotations

from ops.storage import R2, S3, Directory
from ops.stores.base import Documents, Entry, Source, Store

__all__ = ["Documents", "Entry", "Source", "Store", "open_store"]


def open_store(description: S3 | R2 | Directory) -> Store:
    """The store that an environment describes. Opening it sends nothing."""
    match description:
        case Directory():
            from ops.stores.directory import DirectoryStore

            return DirectoryStore(description)
        case R2():
            from ops.stores.s3 import S3Store

            return S3Store(description.as_s3())
        case S3():
            from ops.stores.s3 import S3Store

            return S3Store(description)
