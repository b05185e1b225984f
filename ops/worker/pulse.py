"""A deadline on progress, not on total time: what stands still is cut, what moves may take as long as it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import psycopg

from ops.database import Postgres
from ops.errors import OpsError, Stalled
from ops.worker.connection import APPLICATION, connect, sever


class Pulse:
    """Watches the block; cuts what was registered when nothing has moved for ``deadline`` seconds.

    A server that is silent but at work (an index build, a count of a large table) moves: a connection of our own asks
    it from time to time. So a stalled network is told from a long statement.

    Args:
        deadline: seconds.
        server: the server to ask.
        database: the database our programs are connected to.
    """

    def __init__(self, deadline: float, server: Postgres, database: str | None = None) -> None:
        self.deadline = deadline
        self._server = server
        self._database = database or server.name()
        self._last = time.monotonic()
        self._cuts: list[Callable[[], object]] = []
        self._over = threading.Event()
        self._stalled = False
        self._paused = False
        self._prober: psycopg.Connection | None = None
        self._threads = [
            threading.Thread(target=task, name=task.__name__, daemon=True) for task in (self._watch, self._probe)
        ]

    def __enter__(self) -> Self:
        watch, probe = self._threads
        watch.start()
        try:
            self._prober = connect(self._server, watched=self.cuts)
        except BaseException as error:
            self._over.set()
            self._explain(error)
            raise
        probe.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._prober is not None:
            sever(self._prober)
        for thread in self._threads:
            thread.join()
        if self._prober is not None:
            self._prober.close()
        self._explain(error)

    def _explain(self, error: BaseException | None) -> None:
        """What failed because we cut it failed for this reason and no other."""
        if self._stalled and isinstance(error, Exception):
            raise Stalled(
                f"nothing moved between the runner and {self._database} for {self.deadline:.0f} s, so it was cut",
                "Look at the network and at the server; Postgres(deadline=…) allows more",
            ) from None

    def beat(self) -> None:
        """Something moved."""
        self._last = time.monotonic()

    def pause(self) -> None:
        """It is the store's turn, which has timeouts of its own."""
        self._paused = True

    def resume(self) -> None:
        """It is PostgreSQL's turn."""
        self._paused = False
        self.beat()

    def cuts(self, cut: Callable[[], object]) -> None:
        """Call this when nothing moves any more; it must make whoever waits fail."""
        self._cuts.append(cut)

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self.deadline / 4)):
            if not self._paused and time.monotonic() - self._last > self.deadline:
                self._stalled = True
                for cut in self._cuts:
                    with suppress(OSError):
                        cut()
                self.beat()  # what cleans up has as long again

    def _probe(self) -> None:
        """Ask whether a backend of ours is at work, rather than waiting for its client."""
        assert self._prober is not None
        with suppress(psycopg.Error, OpsError):
            while not self._over.wait(self.deadline / 4):
                busy = self._prober.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname IN (%s, current_database())"
                    " AND application_name = %s"
                    " AND pid <> pg_backend_pid() AND state = 'active'"
                    " AND wait_event_type IS DISTINCT FROM 'Client'",
                    (self._database, APPLICATION),
                ).fetchone()
                if busy and busy[0]:
                    self.beat()
