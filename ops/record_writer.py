"""Writes a run's record beside the work, which goes on when it cannot be written."""

from __future__ import annotations

import subprocess
import threading

from pyinfra import state

from ops import output, record
from ops.environment import Environment
from ops.errors import OpsError
from ops.record import Release, Run
from ops.report import report
from ops.secrets import hidden
from ops.stores import Documents

ROLLBACK = "rollback"
"""The deploy after which people ask for a report, which is written beside its record."""
PAUSE = 1.0
"""Seconds between two writes: R2 takes one write per second to a key."""
PATIENCE = 15.0
"""Seconds that the end of a run waits for its record to be written."""


class Writer:
    """A thread that writes a record whenever it has changed, but for its end not more often than once per second.

    Args:
        documents: where to.
        run: whose record; others change it meanwhile.
        environment: whose secrets must not be in it.
    """

    def __init__(self, documents: Documents, run: Run, environment: Environment) -> None:
        self.releases: list[Release] = []
        """To be written as well."""
        self._documents = documents
        self._run = run
        self._environment = environment
        self._changed = threading.Event()
        self._over = threading.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._write, name="record", daemon=True)
        self._thread.start()
        self.changed()

    def changed(self) -> None:
        """There is something to be written."""
        self._changed.set()

    def finish(self) -> None:
        """Write what the record is now, and nothing more; a store that hangs is not waited for."""
        self._over.set()
        self._changed.set()
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._warn(OpsError(f"the store took longer than {PATIENCE:g} s"))

    def _write(self) -> None:
        self._run.commit = _commit(state.cwd)
        begun, last = False, False
        while not last:
            self._changed.wait()
            self._changed.clear()
            last = self._over.is_set()
            try:
                if begun:
                    self._documents.write(self._run.key, self._content())
                else:
                    record.begin(self._documents, self._run, self._content)
                begun = True
                while self.releases:
                    record.write_release(self._documents, self._run, self.releases[0])
                    self.releases.pop(0)
            except OpsError as error:
                self._warn(error)
            self._over.wait(PAUSE)
        if begun and self._run.deploy == ROLLBACK:
            self._report()

    def _report(self) -> None:
        text = report(Run.from_json(hidden(self._run.to_json(), self._environment)))
        try:
            self._documents.write(self._run.key.removesuffix(".json") + ".md", text.encode())
        except OpsError as error:
            self._warn(error)

    def _content(self) -> bytes:
        return record.dumped(hidden(self._run.to_json(), self._environment))

    def _warn(self, error: OpsError) -> None:
        if not self._warned:
            self._warned = True
            warn(error)


def warn(error: OpsError) -> None:
    """Say that this run leaves no record."""
    output.warn(f"The record of this run cannot be written, which goes on without it: {error}")


def _commit(directory: str | None) -> str | None:
    """What git says is checked out, with ``-dirty`` when it was edited."""
    words = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
