"""One changing deploy at a time on an environment: its lock in the store, and its reservation by hand.

Two documents: ``<environment>/lock`` is held by a run from its first change to its end, with a heartbeat.
``<environment>/reservation`` is written by hand, lasts as long as it says, and keeps out everybody but its owner. It is
only written by who holds the lock, and looked at by who has just taken it: so no run can slip by.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyinfra import state
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State

from ops import arguments, clock, runner
from ops.errors import LockHeld, ObjectMissing, OpsError, StoreError
from ops.lock import BEAT, Lock, holder
from ops.owner import owner
from ops.secrets import hidden, revealed
from ops.stores import Documents

_turn = threading.Lock()
_ours: Lock | None = None
_refused: OpsError | None = None


@dataclass(frozen=True)
class Reservation:
    """An environment kept by hand.

    Args:
        owner: for whom: ``user@host``.
        reason: why.
        started: since when.
        seconds: for how long.
        left: seconds, by the store's own clock.
    """

    owner: str
    reason: str
    started: str
    seconds: float
    left: float

    def __str__(self) -> str:
        left = "ever" if math.isinf(self.left) else f"{clock.age(self.left)} more"
        return f"{self.owner} keeps it for {left} since {self.started}: {self.reason}"


def hold() -> None:
    """Be the only one who changes the environment at hand, from now on to the end of this run.

    Raises:
        LockHeld: somebody else does, or keeps it by hand; or the lock was lost meanwhile.
        StoreError: the store cannot be reached, or cannot keep two runs apart.
    """
    global _ours, _refused
    with _turn:
        if _refused is not None:
            raise _refused
        try:
            if _ours is None:
                _ours = _taken()
                state.callback_handlers.append(_Ending())
            else:
                _ours.confirm(within=2 * BEAT)
        except OpsError as error:
            _refused = error
            raise


def require_free() -> None:
    """See that nobody else is at work on the environment at hand, without taking its lock.

    Raises:
        LockHeld: somebody is, or keeps it by hand.
    """
    if _ours is not None:
        return
    store = runner.documents()
    held = holder(store, _key())
    with _explained():
        if held is not None:
            raise LockHeld(f"{held['owner']} is at work on {runner.environment().name}: {held['reason']}")
        _refuse_others(store)


def reserve(seconds: float, reason: str) -> None:
    """Keep the environment at hand for oneself, or keep it longer.

    Raises:
        LockHeld: somebody else keeps it, or is at work on it.
    """
    store = runner.documents()
    with _explained(), _lock(store, "a reservation"):
        _refuse_others(store)
        content = {"owner": owner(), "reason": _clean(reason), "started": clock.iso(clock.now()), "seconds": seconds}
        store.write(_reservation(), json.dumps(content).encode())


def break_() -> None:
    """Take away lock and reservation, whoever has them. Who held the lock notices, and changes nothing more."""
    runner.documents().delete([_reservation(), _key()])


def look() -> tuple[dict[str, Any] | None, Reservation | None]:
    """Who holds the lock of the environment at hand, as the lock says it, and who keeps it by hand."""
    store = runner.documents()
    return holder(store, _key()), _reserved(store)


class _Ending(BaseStateCallback):
    """However a run ends, it disconnects from its hosts."""

    @staticmethod
    def host_disconnect(state: State, host: Host) -> None:
        global _ours
        lock, _ours = _ours, None
        if lock is not None:
            lock.__exit__(None, None, None)


def _taken() -> Lock:
    typed, store = arguments.typed(), runner.documents()
    with _explained():
        lock = _lock(store, f"{typed.deploy} ({typed.reason})" if typed.reason else typed.deploy).__enter__()
        try:
            _refuse_others(store)
        except BaseException:
            lock.__exit__(None, None, None)
            raise
    return lock


@contextmanager
def _explained() -> Iterator[None]:
    """What the lock refuses, in the words of who wanted to change an environment."""
    name = runner.environment().name
    try:
        yield
    except LockHeld as held:
        raise LockHeld(held.problem, f"Wait until they are done, or look: pyinfra {name} deploys/lock.py") from None
    except StoreError as error:
        problem = f"the lock of {name} cannot be taken, so nothing is changed: {error.problem}"
        raise type(error)(problem, error.hint) from None


def _lock(store: Documents, reason: str) -> Lock:
    return Lock(store, _key(), owner(), _clean(reason))


def _clean(reason: str) -> str:
    """Without the store's own keys, in case that somebody typed them."""
    here = runner.environment()
    revealed(here.store)  # they are needed in a moment anyway
    return str(hidden(reason, here))


def _refuse_others(store: Documents) -> None:
    found = _reserved(store)
    if found is not None and found.owner != owner():
        raise LockHeld(f"{runner.environment().name} is reserved: {found}")


def _reserved(store: Documents) -> Reservation | None:
    try:
        found = json.loads(store.read(_reservation())[0])
        left = found.get("seconds", 0) - store.head(_reservation()).age
        return Reservation(**found, left=left) if left > 0 else None
    except ObjectMissing:
        return None
    except (ValueError, TypeError, AttributeError):
        return Reservation("somebody", "an unreadable reason", "an unknown time", math.inf, math.inf)


def _key() -> str:
    return f"{runner.environment().name}/lock"


def _reservation() -> str:
    return f"{runner.environment().name}/reservation"
