"""What operations yield, beside pyinfra's own commands: things done from here, each a failure in one red line."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, ParamSpec

from pyinfra import state
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from ops import environment_lock, output, recorder, runner
from ops.errors import OpsError

P = ParamSpec("P")
Steps = Generator[PyinfraCommand, None, None]


class Step(PyinfraCommand):
    """Something to be done from here.

    Args:
        words: what it will do, for the plan and for the log.
        do: does it.
        alone: whether nobody else may change the environment meanwhile, so that its lock is needed.
    """

    def __init__(self, words: str, do: Callable[[], object], alone: bool = True) -> None:
        super().__init__()
        self.words = words
        self.do = do
        self.alone = alone
        self.heard_by: list[Callable[[Exception], object]] = []
        """Who is told when it fails."""

    def __repr__(self) -> str:
        return self.words

    def execute(self, state: State, host: Host, connector_arguments: Any) -> bool:
        """Do it, on record. A failure is one red line with a hint, below the log that it brings along."""
        host.log(self.words)
        try:
            self._carry_out(host)
        except OpsError as error:
            recorder.failed(host, error)
            for line in getattr(error, "log", ()):
                host.log(f"| {line}")
            output.failure(host, error)
            return False
        return True

    def _carry_out(self, host: Host) -> None:
        try:
            if self.alone:
                environment_lock.hold()
            with recorder.step(host, self.words):
                self.do()
        except Exception as error:  # whatever it is, what comes after must know
            for hear in self.heard_by:
                hear(error)
            raise


class Work(Step):
    """A verb for the worker, which takes the locks that it needs itself.

    Args:
        verb: one of ``ops.worker``'s.
        words: what it will do, for the plan and for the log.
        arguments: of the request.
    """

    def __init__(self, verb: str, words: str, **arguments: Any) -> None:
        def do() -> None:
            answer = runner.ask(verb, show=True, **arguments)
            if isinstance(backup := answer.get("backup"), dict):
                recorder.know(backup=backup["id"])

        super().__init__(words, do, alone=False)


class Failure(PyinfraCommand):
    """A step that has failed already: it says so when its turn comes, so that ``_ignore_errors`` and ``_if`` hold."""

    def __init__(self, error: OpsError) -> None:
        super().__init__()
        self.error = error

    def __repr__(self) -> str:
        return str(self.error)

    def execute(self, state: State, host: Host, connector_arguments: Any) -> bool:
        """Say it."""
        recorder.failed(host, self.error)
        output.failure(host, self.error)
        return False


def guarded(step: Callable[P, Steps]) -> Callable[P, Steps]:
    """What fails before anything is done ends the deploy; what fails while it is done is that step's failure."""

    @wraps(step)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Steps:
        output.install()
        if state.is_executing:
            recorder.entered()
        try:
            yield from step(*args, **kwargs)
        except OpsError as error:
            if not state.is_executing:
                raise
            yield Failure(error)

    return inner


def on_runner(step: Callable[P, Steps]) -> Callable[P, Steps]:
    """Let a step run on the runner only; what fails while it runs is that step's failure, not the end of the deploy."""

    @wraps(step)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Steps:
        if runner.is_runner():
            yield from step(*args, **kwargs)

    return guarded(inner)


def plan(words: str) -> None:
    """Say in the plan what will be done; once it is being done, the command says it."""
    if not state.is_executing:
        output.say(f"Would: {words[0].lower()}{words[1:]}")
