"""What hangs or fails hides nothing else."""

from __future__ import annotations

import threading
import time

from ops.errors import ServiceError
from ops.parts import Part, Seen, looked


def test_each_part_is_seen_or_unknown_in_its_own_time_and_in_their_order():
    over = threading.Event()

    def fails():
        raise ServiceError("it is broken", "Mend it")

    def is_ours():
        return {}["no such key"]

    began = time.monotonic()
    seen = looked([
        Part("hangs", lambda: over.wait(60), 0.3),
        Part("fails", fails, 5),
        Part("is ours", is_ours, 5),
        Part("is well", lambda: [1, 2], 5),
    ])  # fmt: skip
    over.set()
    assert time.monotonic() - began < 3
    assert list(seen) == ["hangs", "fails", "is ours", "is well"]
    assert seen["hangs"] == Seen(unknown="no answer within 0.3 s")
    assert seen["fails"] == Seen(unknown="it is broken", hint="Mend it")
    assert seen["is ours"].unknown.startswith("unexpected KeyError at ")
    assert "no such key" not in seen["is ours"].unknown
    assert seen["is well"].to_json() == {"found": [1, 2], "unknown": "", "hint": ""}
