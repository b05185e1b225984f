"""Whether the store can be reached and read with the keys that the environment has."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from ops.checks import ObjectStore, Outcome, Result
from ops.errors import ObjectMissing, StoreError
from ops.stores import Store, open_store
from ops.worker.catalogue import Catalogue
from ops.worker.request import Request

TRIES = 2
_SHARE = 0.4
"""Of a check's time, for one try: the two, and the second between them, must leave it time to say what is wrong."""


def ask(check: ObjectStore, at: Request) -> Iterable[Result]:
    """List what lies where the backups are, and read one byte of the newest. Writing is not tried."""
    store = opened(at, check.timeout)
    began = time.monotonic()
    try:
        entries = list(store.list(Catalogue(store, at.environment, at.database_name).prefix))
        readable = [entry.key for entry in entries if entry.size]
        if readable:
            store.get(readable[-1], lambda _: None, length=1)
    except ObjectMissing:
        raise  # it went away between the two: ask again
    except StoreError as error:
        if _has_no_address(error):
            raise
        yield Result(Outcome.FAIL, error.problem, hint=error.hint)
        return
    listed = f"{len(entries)} object{'' if len(entries) == 1 else 's'} listed{', one read' if readable else ''}"
    yield Result(Outcome.PASS, f"{listed} in {time.monotonic() - began:.2f} s")


def opened(at: Request, seconds: float) -> Store:
    """The store as a check asks it: without the patience that is good for moving data.

    Args:
        at: describes it.
        seconds: that the check has.
    """
    store = open_store(at.store)
    if at.store.kind != "directory":
        from ops.stores.s3 import S3Store

        assert isinstance(store, S3Store)
        store.tries = TRIES
        store.connect_timeout = store.read_timeout = seconds * _SHARE
    return store


def _has_no_address(error: BaseException) -> bool:
    """Whether it was never asked: its name could not be resolved."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, socket.gaierror):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
