"""Small objects of a store that only the runner can reach: records and the environment's lock."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import astuple
from typing import Any

from ops.stores import open_store
from ops.worker.request import Request


def run(request: Request) -> dict[str, Any]:
    """Do one thing; ``ops.stores.remote`` is the other end."""
    small = request.small
    assert small is not None
    store = open_store(request.store)
    content = b64decode(small.content)
    match small.do:
        case "put_if_absent":
            return {"etag": store.put_if_absent(small.key, content)}
        case "replace":
            return {"etag": store.replace(small.key, content, small.etag)}
        case "write":
            return {"etag": store.write(small.key, content)}
        case "read":
            found, etag = store.read(small.key, small.limit)
            return {"content": b64encode(found).decode(), "etag": etag}
        case "list":
            return {"entries": [astuple(entry) for entry in store.list(small.key)]}
        case "head":
            return {"entries": [astuple(store.head(small.key))]}
        case "delete":
            store.delete([small.key])
            return {}
