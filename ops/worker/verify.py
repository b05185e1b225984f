"""Ask the checks that are asked from the runner, all at once. Only reads."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from ops import probes
from ops.checks import Check
from ops.probes.pool import Question, answers
from ops.secrets import hidden
from ops.worker.request import Request


def run(request: Request) -> dict[str, Any]:
    """The results of each check, in the order of the request."""
    found = answers([_question(check, request) for check in request.checks])
    results = [[one.to_json() for one in each] for each in found]
    return {"results": hidden(results, request)}


def _question(check: Check, request: Request) -> Question:
    with suppress(ImportError):  # which that check says of itself
        probes.load(check)
    return Question(check.title, partial(probes.ask, check, request), check.timeout)
