"""Facts that are asked for by our own code, because a plain fact can send nothing on standard input and no request."""

from __future__ import annotations

from typing import Any

from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.api.state import State
from typing_extensions import override

from ops import output, runner
from ops.errors import OpsError


class Asked(FactBase[dict[str, Any]]):
    """A fact whose answer is got by ``ask``."""

    abstract = True

    def ask(self) -> dict[str, Any]:
        """The answer."""
        raise NotImplementedError

    @override
    def check_preconditions(self, state: State, host: Host) -> str | None:
        """Ask here, because this is the one place that pyinfra gives a fact to talk to its host by itself."""
        try:
            self._answer = self.ask()
        except OpsError as error:
            if not host.in_op:  # ``pyinfra … fact`` would swallow it
                output.failure(host, error)
                state.fail_hosts({host})  # type: ignore[no-untyped-call]
            raise
        return None

    @override
    def command(self) -> str:
        return "echo asked"

    @override
    def process(self, output: list[str]) -> dict[str, Any]:
        return self._answer


class WorkerFact(Asked):
    """A fact that the worker on the runner tells."""

    abstract = True
    verb: str

    @override
    def ask(self) -> dict[str, Any]:
        return runner.ask(self.verb)
