"""Whether requests that feed one another all are answered as they must be; what they made is cleaned up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any
from urllib.parse import quote

import jmespath
from jmespath.exceptions import JMESPathError

from ops.checks import HttpFlow, HttpStep, Outcome, Result
from ops.checks.http import PLACEHOLDER
from ops.probes.exchange import Answer, Exchange, Unanswered
from ops.probes.expectation import problems
from ops.probes.pool import interrupted, uninterrupted
from ops.secrets import Secret
from ops.worker.request import Request

PAUSES = (0.1, 0.2, 0.5)
"""Seconds between one asking and the next."""
LONGEST_PAUSE = 1.0
_GONE = (404, 410)


def ask(check: HttpFlow, at: Request) -> Iterator[Result]:
    """One result: which step failed, and what may be left behind."""
    began = time.monotonic()
    flow = _Flow(check)
    with uninterrupted():
        failed = flow.run()
        left = flow.clean_up()
    flow.exchange.close()
    found = [*([failed] if failed else []), *left]
    if not found:
        steps = "1 step" if len(check.steps) == 1 else f"{len(check.steps)} steps"
        yield Result(Outcome.PASS, f"{steps} in {time.monotonic() - began:.2f} s", "each as it must be")
    else:
        skipped = [f"{step.label} was not asked: nothing is known to clean up" for step in flow.skipped if failed]
        value = "; ".join([*map(str, found), *skipped])
        yield Result(found[0].outcome, value, found[0].limit, found[0].hint)


class _Failed(Exception):
    """A step was not answered as it must be, or not at all."""

    def __init__(self, step: HttpStep, value: str, limit: str = "", hint: str = "", asked: bool = True) -> None:
        super().__init__(f"{'cleaning up: ' if step.cleanup else ''}{step.label}: {value}")
        self.value = value
        self.limit = limit
        self.hint = hint or "Look at its log"
        self.outcome = Outcome.FAIL if asked else Outcome.UNKNOWN


class _Flow:
    """One run of the steps.

    Args:
        check: whose.
    """

    def __init__(self, check: HttpFlow) -> None:
        self._check = check
        self._names: dict[str, Any] = {name: secret.reveal() for name, secret in check.secrets.items()}
        self.exchange = Exchange(check.timeout - check.reserve)
        self.skipped: list[HttpStep] = []

    def run(self) -> _Failed | None:
        """The steps in their order, until one fails: that one."""
        try:
            for step in self._check.main:
                self._until_right(step)
        except _Failed as failed:
            return failed
        return None

    def clean_up(self) -> list[_Failed]:
        """What is asked whatever became of the others, as far as the names that it needs are known; what failed."""
        self.exchange.deadline.extend(self._check.reserve)
        found = []
        for step in self._check.cleanup:
            if step.needs - set(self._names):
                self.skipped.append(step)
                continue
            try:
                self._until_right(step)
            except _Failed as failed:
                found.append(failed)
        return found

    def _until_right(self, step: HttpStep) -> None:
        """Ask a step until it is as it must be, or its time is over."""
        end = time.monotonic() + (step.wait or 0.0)
        for pause in chain(PAUSES, repeat(LONGEST_PAUSE)):
            if interrupted.is_set() and not step.cleanup:
                raise _Failed(step, "it was interrupted", asked=False)
            try:
                self._once(step)
                return
            except _Failed as failed:
                left = end - time.monotonic()
                if left <= 0 or failed.outcome is Outcome.UNKNOWN:
                    raise
            # An interruption cuts waiting short, but not for what cleans up.
            (time.sleep if step.cleanup else interrupted.wait)(min(pause, left))

    def _once(self, step: HttpStep) -> None:
        request = _filled(step, self._names)
        try:
            answer = self.exchange.ask(request)
        except Unanswered as why:
            raise _Failed(step, why.value, "", why.hint, why.asked) from None
        if step.cleanup and not step.status and answer.status in _GONE:
            return
        for problem in problems(request, answer, self._check):
            raise _Failed(step, problem.value, problem.limit)
        for name, path in step.save.items():
            self._names[name] = _found(step, answer, name, path)


def _found(step: HttpStep, answer: Answer, name: str, path: str) -> Any:
    try:
        found = jmespath.search(path, answer.json)
    except (ValueError, JMESPathError):
        found = None
    if found is None:
        raise _Failed(step, f"{answer.said}, with nothing at {path} to be saved as {name}", f"{path} not empty")
    return found


def _filled(step: HttpStep, names: dict[str, Any]) -> HttpStep:
    """A step with its names replaced by what they stand for."""

    def filled(part: Any) -> Any:
        if isinstance(part, str):
            alone = PLACEHOLDER.fullmatch(part)
            return names.get(alone[1], part) if alone else _replaced(part, names)
        if isinstance(part, dict):
            return {key: filled(value) for key, value in part.items()}
        return [filled(each) for each in part] if isinstance(part, list | tuple) else part

    headers = {name: _header(name, _replaced(value.reveal(), names)) for name, value in step.headers.items()}
    url = PLACEHOLDER.sub(lambda found: quote(_text(names[found[1]]), safe=""), step.url)
    text = step.text if step.text is None else _replaced(step.text, names)
    body = _replaced(step.body, names) if isinstance(step.body, str) else filled(step.body)
    return step.model_copy(
        update={"url": url, "headers": headers, "body": body, "text": text, "equals": filled(step.equals)}
    )


def _header(name: str, value: str) -> Secret:
    """A token that was saved is as secret as one that was given."""
    return Secret(f"the header {name}", lambda: value)


def _replaced(text: str, names: dict[str, Any]) -> str:
    return PLACEHOLDER.sub(lambda found: _text(names[found[1]]) if found[1] in names else found[0], text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
