"""The record of this run, written by itself: it begins with the first step carried out, so that none is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyinfra import host as here
from pyinfra import state
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State, StateStage

from ops import __version__, arguments, clock, output, runner
from ops.errors import OpsError
from ops.owner import owner
from ops.record import Release, Run, Step
from ops.record_writer import Writer, warn
from ops.services import OnHosts, Service


class Recorder:
    """The record of one run. Written beside the work, which never waits for it and never fails by it."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._steps: list[Step] = []
        self._facts: dict[str, Any] = {}
        self._of: dict[tuple[str, Host], list[Step]] = {}
        self._began: dict[tuple[str, Host], float] = {}
        self._failed = False
        self._wrong: set[str] = set()
        self._released: dict[str, dict[str, dict[str, Release]]] = {}
        self._told: dict[str, str] = {}
        self._services: Sequence[Service] = ()
        self._start = 0.0
        self._turn = threading.Lock()
        self._writer: Writer | None = None

    def begin(self) -> None:
        """From now on there is a record."""
        with self._turn:
            if self._run is not None:
                return
            typed, now = arguments.typed(), clock.now()
            self._run = Run(
                id=f"{clock.stamp(now)}-{typed.deploy}",
                environment=runner.environment().name,
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
                self._services = runner.environment().services
                self._writer = Writer(runner.documents(), self._run, runner.environment())
            except OpsError as error:
                warn(error)

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
        self._has_changed()

    def fail(self, on: Host, error: str) -> None:
        """The operation that a host is at has failed, for a reason that is not on record yet."""
        if not any(one.outcome == "failed" for one in self._of.get((_operation(on), on), [])):
            self.end(self.add(on), time.monotonic(), error)

    def know(self, facts: dict[str, Any]) -> None:
        """What an operation has found out; a dictionary adds to the one that is there under its name."""
        for name, value in facts.items():
            there = self._facts.get(name)
            self._facts[name] = {**there, **value} if isinstance(there, dict) and isinstance(value, dict) else value
        self._has_changed()

    def release(self, on: Host, service: str, release: str, migration: str | None, back: bool) -> None:
        """A release serves on a host; it is written down when it does so on all."""
        one = Release(service, release, migration, clock.iso(clock.now()), "", back)
        self._released.setdefault(_operation(on), {}).setdefault(service, {})[on.name] = one

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
        self.fail(on, "pyinfra printed why")
        self._wrong.add(operation)
        self._failed = self._failed or not ignored
        for one in self._of[operation, on] if ignored else []:
            one.outcome = "ignored" if one.outcome == "failed" else one.outcome

    def everywhere(self, operation: str) -> None:
        """An operation is over on all hosts: what it let serve does so, unless it failed somewhere."""
        released = self._released.pop(operation, {})
        if operation not in self._wrong and self._writer is not None:
            whole = {name: one for name, hosts in released.items() if (one := self._on_all(name, hosts))}
            new = {name: one for name, one in whole.items() if self._told.get(name) != one.release}
            self._told |= {name: one.release for name, one in new.items()}
            self._writer.releases += new.values()
            self._writer.changed()

    def _on_all(self, service: str, hosts: dict[str, Release]) -> Release | None:
        """The release of a service when all its hosts serve it, those too that ``--limit`` leaves out."""
        described = next((one for one in self._services if one.name == service), None)
        group = state.inventory.get_group(described.hosts) if isinstance(described, OnHosts) else []
        if {one.name for one in group} - hosts.keys() or len({one.release for one in hosts.values()}) != 1:
            return None
        return max(hosts.values(), key=lambda one: one.time)

    def finish(self, aborted: bool) -> None:
        """The run is over, and so is its record."""
        run = self._run
        if run is None or run.result is not None:
            return
        for operation in [] if aborted else list(self._released):
            self.everywhere(operation)
        run.result = "interrupted" if output.interrupted() else "failed" if self._failed or aborted else "done"
        for one in self._steps:
            one.outcome = one.outcome or ("interrupted" if output.interrupted() else "failed")
        run.finished, run.seconds = clock.iso(clock.now()), round(time.monotonic() - self._start, 1)
        if self._writer is not None:
            self._writer.finish()

    def _has_changed(self) -> None:
        if self._writer is not None:
            self._writer.changed()


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
    """The operation that a host is at has failed; once is enough."""
    _recorder.fail(on, str(error))


def know(**facts: Any) -> None:
    """Put on record what an operation has found out, such as ``backup="2026-11-21T10-00-00Z"``.

    Args:
        facts: what JSON can hold; a dictionary adds to the one that is there under its name.
    """
    _recorder.know(facts)


def released(service: str, release: str, migration: str | None = None, back: bool = False) -> None:
    """A release serves on the host at hand, healthily: it is written down once it does so on all hosts.

    Args:
        service: its name.
        release: the platform's name for it.
        migration: the database's revision; None: not known.
        back: whether it was gone back to.
    """
    _recorder.release(_host(), service, release, migration, back)


def _host() -> Host:
    """The host at hand itself, which other threads would see another of."""
    found = state.inventory.get_host(here.name)
    assert found is not None
    return found


def _operation(on: Host) -> str:
    return str(on.nested_executing_op_hash or on.executing_op_hash)
