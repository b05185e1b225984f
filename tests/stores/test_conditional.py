"""A provider that ignores conditional writes is found out before anything rests on them."""

from __future__ import annotations

import pytest

from ops.errors import WeakStore
from ops.stores import Store, open_store
from ops.stores.conditional import require_conditional_writes


class Halfway:
    """A store that keeps one of the two promises: refuses to write over, but replaces without looking."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.location = store.location
        self.delete = store.delete
        self.put_if_absent = store.put_if_absent

    def replace(self, key: str, content: bytes, etag: str) -> str:
        return self._store.write(key, content)


def test_a_store_that_keeps_them_passes_and_keeps_the_lock(store):
    etag = store.put_if_absent("lock", b"{}")
    require_conditional_writes(store, "lock", etag, b"{}")
    assert store.read("lock") == (b"{}", etag)


def test_nanio_ignores_them_and_is_refused(nanio):
    store = open_store(nanio)
    etag = store.put_if_absent("lock", b"{}")
    with pytest.raises(WeakStore, match="If-None-Match") as raised:
        require_conditional_writes(store, "lock", etag, b"{}")
    assert store.location in str(raised.value)
    assert "SeaweedFS" in raised.value.hint
    assert list(store.list()) == []


def test_a_store_that_replaces_without_looking_is_refused(store):
    etag = store.put_if_absent("lock", b"{}")
    with pytest.raises(WeakStore, match="If-Match"):
        require_conditional_writes(Halfway(store), "lock", etag, b"{}")
    assert list(store.list()) == []
