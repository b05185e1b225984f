"""Something that a second connection looks at again and again, while the block runs."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import closing
from types import TracebackType
from typing import Self

import psycopg

from ops.database import Postgres
from ops.worker.connection import connect, failure


class Watch(ABC):
    """Looks every so often.

    Args:
        interval: seconds between two looks.
        server: where.
        database: the database, when it is not the server's own.
    """

    def __init__(self, interval: float, server: Postgres, database: str | None = None) -> None:
        self.connection = connect(server, database)
        self.broken = ""
        """Why the looking ended early; empty when it did not."""
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @abstractmethod
    def look(self) -> None:
        """Look once."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with closing(self.connection) as connection:
            try:
                while not self._over.wait(self._interval):
                    self.look()
                connection.execute("SELECT")  # was it cut off since the last look?
            except psycopg.Error as error:
                self.broken = failure(error).problem
