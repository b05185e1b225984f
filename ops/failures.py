"""What failed in this run, so that the operations after it can act upon it: pyinfra tells that to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ops.errors import OpsError
from ops.steps import Failure, Step, Steps


class Failures:
    """Those of one deploy, in words, the first one first."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._words)

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __str__(self) -> str:
        return "; ".join(self._words)

    def add(self, what: str, error: Exception) -> None:
        """Something failed.

        Args:
            what: in words.
            error: why.
        """
        self._words.append(f"{what}: {error.problem if isinstance(error, OpsError) else type(error).__name__}")

    def noted(self, what: str, steps: Steps) -> Steps:
        """The same steps; when one fails, that is known to those after it.

        Args:
            what: they are about, in words.
            steps: of an operation.
        """
        try:
            for step in steps:
                if isinstance(step, Step):
                    step.heard_by.append(partial(self.add, what))
                if isinstance(step, Failure):
                    self.add(what, step.error)
                yield step
        except OpsError as error:
            self.add(what, error)
            raise
