"""Looking at the parts of a picture at once, each with its own time: what cannot be seen hides nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ops.errors import OpsError, place


@dataclass(frozen=True)
class Part:
    """One part.

    Args:
        name: which.
        look: looks at it; what it answers can be told as JSON.
        timeout: seconds.
    """

    name: str
    look: Callable[[], Any]
    timeout: float


@dataclass(frozen=True)
class Seen:
    """What was seen of a part.

    Args:
        found: what it answered; None when it is unknown.
        unknown: why nobody could tell; empty when it is known.
        hint: what to do about that.
    """

    found: Any = None
    unknown: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As documents and answers carry it."""
        return asdict(self)


class _Looking:
    """A part that is looked at, in a thread that nobody waits for longer than its time."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._end = time.monotonic() + part.timeout
        self._over = threading.Event()
        self._seen = Seen()
        threading.Thread(target=self._run, name=part.name, daemon=True).start()

    def _run(self) -> None:
        self._seen = look(self._part.look)
        self._over.set()

    def seen(self) -> Seen:
        """Wait until it has been looked at, or its time is over."""
        if self._over.wait(max(0.0, self._end - time.monotonic())):
            return self._seen
        return Seen(unknown=f"no answer within {self._part.timeout:g} s")


def look(at: Callable[[], Any]) -> Seen:
    """Look at one part, here and now; whatever goes wrong makes it unknown."""
    try:
        return Seen(at())
    except OpsError as error:
        return Seen(unknown=error.problem, hint=error.hint)
    except Exception as error:  # a fault of ours: nobody knows what is in its text
        return Seen(
            unknown=f"unexpected {type(error).__name__} at {place(error)}", hint="This is a bug; please report it"
        )


def looked(parts: Iterable[Part]) -> dict[str, Seen]:
    """Look at all at once; what was seen of each, by its name, in their order."""
    looking = {part.name: _Looking(part) for part in parts}
    return {name: one.seen() for name, one in looking.items()}
