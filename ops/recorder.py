"""The record of this run, written by itself: it begins with the first step carried out, so that none is forgotten."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyinfra import host as here
from pyinfra import state
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State, StateStage

from ops import __version__, arguments, clock, output, record, runner
from ops.environment import Environment
from ops.errors import OpsError
from ops.owner import owner
from ops.record import Release, Run, Step
from ops.secrets import hidden
from ops.stores import Documents

PAUSE = 1.0
"""Seconds between two writes: R2 takes one write per second to a key."""
PATIENCE = 15.0
"""Seconds that the end of a run waits for its record to be written."""


class Recorder:
    """The record of one run. A thread writes it beside the work, which never waits for it and never fails by it."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._steps: list[Step] = []
        self._facts: dict[str, Any] = {}
        self._of: dict[tuple[str, Host], list[Step]] = {}
        self._began: dict[tuple[str, Host], float] = {}
        self._failed: set[str] = set()
        self._released: dict[str, dict[str, Release]] = {}
        self._pending: list[Release] = []
        self._told: dict[str, str] = {}
        self._start = 0.0
        self._turn = threading.Lock()
        self._changed = threading.Event()
        self._over = threading.Event()
        self._warned = False
        self._writer = threading.Thread(target=self._write, name="record", daemon=True)

    def begin(self) -> None:
        """From now on there is a record."""
        with self._turn:
            if self._run is not None:
                return
            typed, now = arguments.typed(), clock.now()
            self._environment: Environment = runner.environment()
            self._run = Run(
                id=f"{clock.stamp(now)}-{typed.deploy}",
                environment=self._environment.name,
                who=owner(),
                version=__version__,
                commit=None,
                deploy=typed.deploy,
                arguments=typed.data,
                reason=typed.reason,
                started=clock.iso(now),
                steps=self._steps,
                facts=self._facts,
            )
            self._start = time.monotonic()
            try:
                self._documents: Documents = runner.documents()
            except OpsError as error:
                self._warn(error)
                return
            self._writer.start()
            self._changed.set()

    def add(self, on: Host, words: str = "") -> Step:
        """One more step of the operation that a host is at."""
        operation = _operation(on)
        one = Step(", ".join(state.get_op_meta(operation).names), on.name, words)
        self._steps.append(one)
        self._of.setdefault((operation, on), []).append(one)
        return one

    def entered(self, on: Host) -> None:
        """An operation of ours is being carried out on a host."""
        self._began.setdefault((_operation(on), on), time.monotonic())

    def end(self, one: Step, began: float, error: str | None = None) -> None:
        """A step is over."""
        one.outcome, one.error = "failed" if error else "done", error
        one.seconds = round(time.monotonic() - began, 3)
        self._changed.set()

    def know(self, facts: dict[str, Any]) -> None:
        """What an operation has found out; a dictionary adds to the one that is there under its name."""
        for name, value in facts.items():
            there = self._facts.get(name)
            self._facts[name] = {**there, **value} if isinstance(there, dict) and isinstance(value, dict) else value
        self._changed.set()

    def release(self, on: Host, service: str, release: str, migration: str | None) -> None:
        """A release serves on a host; it is written down when it does so on all."""
        one = Release(service, release, migration, clock.iso(clock.now()), "")
        self._released.setdefault(_operation(on), {})[service] = one

    def succeeded(self, on: Host, operation: str) -> None:
        """An operation has been carried out on a host."""
        own = self._of.get((operation, on), [])
        for one in own:
            one.outcome = "retried" if one.outcome == "failed" else one.outcome
        began = self._began.get((operation, on))
        if not own and began is not None:
            self.end(self.add(on), began)

    def failed(self, on: Host, operation: str, ignored: bool) -> None:
        """An operation has failed on a host."""
        if not any(one.outcome == "failed" for one in self._of.get((operation, on), [])):
            self.end(self.add(on), time.monotonic(), "pyinfra printed why")
        if ignored:
            for one in self._of[operation, on]:
                one.outcome = "ignored" if one.outcome == "failed" else one.outcome
        else:
            self._failed.add(operation)

    def everywhere(self, operation: str) -> None:
        """An operation is over on all hosts: what it let serve does so, unless it failed somewhere."""
        released = self._released.pop(operation, {})
        if operation not in self._failed and released:
            new = {name: one for name, one in released.items() if self._told.get(name) != one.release}
            self._told |= {name: one.release for name, one in new.items()}
            self._pending += new.values()
            self._changed.set()

    def finish(self, aborted: bool) -> None:
        """The run is over, and so is its record."""
        run = self._run
        if run is None or self._over.is_set():
            return
        for operation in list(self._released):
            self.everywhere(operation)
        run.result = "interrupted" if output.interrupted() else "failed" if self._failed or aborted else "done"
        for one in self._steps:
            one.outcome = one.outcome or ("interrupted" if output.interrupted() else "failed")
        run.finished, run.seconds = clock.iso(clock.now()), round(time.monotonic() - self._start, 1)
        self._over.set()
        self._changed.set()
        if self._writer.is_alive():
            self._writer.join(PATIENCE)
        if self._writer.is_alive():
            self._warn(OpsError(f"the store took longer than {PATIENCE:g} s"))

    def _write(self) -> None:
        assert self._run is not None
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
                while self._pending:
                    record.write_release(self._documents, self._run, self._pending[0])
                    self._pending.pop(0)
            except OpsError as error:
                self._warn(error)
            self._over.wait(PAUSE)

    def _content(self) -> bytes:
        assert self._run is not None
        return record.dumped(hidden(self._run.to_json(), self._environment))

    def _warn(self, error: OpsError) -> None:
        if not self._warned:
            self._warned = True
            output.warn(f"The record of this run cannot be written, which goes on without it: {error}")


_recorder = Recorder()


class _Told(BaseStateCallback):
    """What pyinfra tells about operations."""

    @staticmethod
    def operation_host_success(state: State, host: Host, op_hash: str, retry_count: int = 0) -> None:
        _recorder.succeeded(host, op_hash)

    @staticmethod
    def operation_host_error(
        state: State, host: Host, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        ignored = state.get_op_data_for_host(host, op_hash).global_arguments["_ignore_errors"]
        _recorder.failed(host, op_hash, bool(ignored))

    @staticmethod
    def operation_end(state: State, op_hash: str) -> None:
        _recorder.everywhere(op_hash)

    @staticmethod
    def host_disconnect(state: State, host: Host) -> None:
        """However a run ends, it disconnects from its hosts."""
        _recorder.finish(aborted=state.current_stage is StateStage.Execute)


def entered() -> None:
    """The operation at hand is being carried out on the host at hand."""
    if not any(isinstance(handler, _Told) for handler in state.callback_handlers):
        state.callback_handlers.append(_Told())
    _recorder.entered(_host())


@contextmanager
def step(on: Host, words: str) -> Iterator[None]:
    """Something is changed, on record."""
    _recorder.begin()
    one, began = _recorder.add(on, words), time.monotonic()
    try:
        yield
    except OpsError as error:
        _recorder.end(one, began, str(error))
        raise
    _recorder.end(one, began)


def failed(on: Host, error: OpsError) -> None:
    """An operation has failed before it changed anything."""
    _recorder.end(_recorder.add(on), time.monotonic(), str(error))


def know(**facts: Any) -> None:
    """Put on record what an operation has found out, such as ``backup="2026-11-21T10-00-00Z"``.

    Args:
        facts: what JSON can hold; a dictionary adds to the one that is there under its name.
    """
    _recorder.know(facts)


def released(service: str, release: str, migration: str | None = None) -> None:
    """A release serves on the host at hand, healthily: it is written down once it does so on all hosts.

    Args:
        service: its name.
        release: the platform's name for it.
        migration: the database's revision; None: not known.
    """
    _recorder.release(_host(), service, release, migration)


def _host() -> Host:
    """The host at hand itself, which other threads would see another of."""
    found = state.inventory.get_host(here.name)
    assert found is not None
    return found


def _operation(on: Host) -> str:
    return str(on.nested_executing_op_hash or on.executing_op_hash)


def _commit(directory: str | None) -> str | None:
    """What git says is checked out, with ``-dirty`` when it was edited."""
    words = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
