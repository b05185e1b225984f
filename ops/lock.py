"""One at a time: a lock in the store, by conditional writes, with a heartbeat."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.clock import iso, now
from ops.errors import LockHeld, ObjectMissing, OpsError, PreconditionFailed
from ops.stores import Documents
from ops.stores.conditional import require_conditional_writes

BEAT = 15.0
"""Seconds between two heartbeats."""
EXPIRY = 60.0
"""Seconds without a heartbeat, by the store's own clock, after which a lock may be taken over; the holder says it."""


class Lock:
    """Held while the block runs; taken over from a holder that died.

    It is never deleted, only replaced by ``If-Match``, so that no two runs can ever take it at once.

    Args:
        store: where it lies.
        key: its name.
        owner: who takes it: ``user@host``.
        reason: what for, as words that continue "is held for …".
        backup: the id of a backup that must not be pruned meanwhile.

    Raises:
        LockHeld: on entering, when somebody else holds it.
        WeakStore: on entering, when the store ignores conditional writes.
    """

    def __init__(self, store: Documents, key: str, owner: str, reason: str, backup: str | None = None) -> None:
        self._store = store
        self._key = key
        self._state: dict[str, Any] = {
            "owner": owner,
            "reason": reason,
            "backup": backup,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": _process(os.getpid()),
            "started": iso(now()),
            "expiry": EXPIRY,
            "held": True,
            "beat": 0,
        }
        self._etag = ""
        self._renewed = 0.0
        self._lost: OpsError | None = None
        self._turn = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        content = self._content()
        try:
            self._etag = self._store.put_if_absent(self._key, content)
        except PreconditionFailed:
            self._etag = self._take_over(content)
        self._renewed = time.monotonic()
        require_conditional_writes(self._store, self._key, self._etag, content)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._lost is None:
            # If this fails the lock expires by itself; the work that it guarded is done either way.
            with contextlib.suppress(OpsError):
                self._store.replace(self._key, self._content(held=False), self._etag)

    def confirm(self, within: float = 0) -> None:
        """Renew the lock now: call it right before the write that must be the only one.

        Args:
            within: seconds; a renewal that is no older is enough.

        Raises:
            LockHeld: it was lost, because this process was stopped or cut off for longer than the expiry.
        """
        if time.monotonic() - self._renewed >= within:
            self._renew()
        if self._lost is not None:
            raise self._lost

    def _content(self, held: bool = True) -> bytes:
        self._state.update(held=held, beat=self._state["beat"] + 1)
        return json.dumps(self._state).encode()

    def _take_over(self, content: bytes) -> str:
        """Replace a lock that was freed, has expired, or whose holder died on this machine."""
        try:
            raw, etag = self._store.read(self._key)
            age = self._store.head(self._key).age
        except ObjectMissing:
            return self._store.put_if_absent(self._key, content)
        holder = _read(raw)
        if _is_held(holder, age):
            raise self._held_by(holder, age)
        try:
            return self._store.replace(self._key, content, etag)
        except PreconditionFailed:
            raise self._held_by(_read(self._store.read(self._key)[0]), 0) from None

    def _held_by(self, holder: dict[str, Any], age: float) -> LockHeld:
        return LockHeld(
            f"{holder.get('owner')} holds the lock for {holder.get('reason')} since {holder.get('started')} "
            f"(process {holder.get('pid')} on {holder.get('host')}, last heartbeat {age:.0f} s ago)",
            f"Wait for it to end; a lock without a heartbeat is free after {_expiry(holder):.0f} s",
        )

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            self._renew()

    def _renew(self) -> None:
        with self._turn:
            if self._lost is not None:
                return
            try:
                self._etag = self._store.replace(self._key, self._content(), self._etag)
                self._renewed = time.monotonic()
            except PreconditionFailed:
                self._recognise()
            except OpsError as error:
                # An unreachable store is no loss yet: nobody else can take the lock before it expires.
                if time.monotonic() - self._renewed > EXPIRY:
                    self._lost = LockHeld(
                        f"the lock could not be renewed for {EXPIRY:.0f} s: {error.problem}", error.hint
                    )

    def _recognise(self) -> None:
        """What stands in the way of a renewal may be our own last one, of which only the answer was lost."""
        try:
            raw, etag = self._store.read(self._key)
        except OpsError:
            raw, etag = b"", ""
        found = _read(raw)
        if all(found.get(part) == self._state[part] for part in ("process", "host", "pid", "started")):
            self._etag = etag
            self._renewed = time.monotonic()
            return
        self._lost = LockHeld("the lock was taken over while this run stood still", "Look at what the other run did")


def holder(store: Documents, key: str) -> dict[str, Any] | None:
    """Who holds a lock now, or None."""
    try:
        found = _read(store.read(key)[0])
        alive = _is_held(found, store.head(key).age)
    except ObjectMissing:
        return None
    return found if alive else None


def _is_held(holder: dict[str, Any], age: float) -> bool:
    """Whether a lock of this age is its holder's still."""
    return bool(holder.get("held")) and age < _expiry(holder) and not _died_here(holder)


def _expiry(holder: dict[str, Any]) -> float:
    stated = holder.get("expiry")
    return float(stated) if isinstance(stated, int | float) else EXPIRY


def _read(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {"owner": "somebody", "reason": "an unreadable reason", "held": True}
    return found if isinstance(found, dict) else {}


def _process(pid: int) -> str | None:
    """Which process a pid means: boot, pid namespace, and the tick it started at. None when nobody can say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{boot} {Path('/proc/self/ns/pid').readlink()} {started}"
    except OSError:
        return None


def _died_here(holder: dict[str, Any]) -> bool:
    """Whether the holder ran on this very machine and is gone, so that nobody need wait for the expiry."""
    there, here = holder.get("process"), _process(os.getpid())
    if not there or not here or there.split()[:2] != here.split()[:2]:
        return False
    return bool(_process(int(holder.get("pid", 0))) != there)
