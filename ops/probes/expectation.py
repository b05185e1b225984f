"""What an answer by HTTP must be, and where it is not: in words, without a secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from ops.checks.http import Request
from ops.checks.limits import number
from ops.errors import printable
from ops.probes.exchange import Answer
from ops.secrets import hidden

LONGEST = 100
"""Characters that are shown of what a server said."""


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it must be.

    Args:
        value: what is there.
        limit: what must be.
    """

    value: str
    limit: str


def problems(request: Request, answer: Answer, secrets: Any = None) -> list[Problem]:
    """Where an answer is not as it must be; none: it is.

    Args:
        request: that was sent, and what must come of it.
        answer: what came.
        secrets: a description whose secrets are not shown, beside those of the request.
    """
    shown = Shown([request, secrets])
    if not _passes(request, answer.status):
        # What else is wrong with it follows from that.
        return [Problem(shown.answer(answer), _codes(request))]
    return [
        *_of_target(request, answer, shown),
        *_of_headers(request, answer, shown),
        *_of_text(request, answer, shown),
        *_of_json(request, answer, shown),
    ]


def expected(request: Request) -> str:
    """What an answer must be, in words."""
    shown = Shown(request)
    words = [
        _codes(request),
        *([] if request.redirects_to is None else [f"to {shown.url(request.redirects_to)}"]),
        *(f"{name} with {part!r}" for name, part in request.header.items()),
        *([] if request.text is None else [f"with {request.text!r}"]),
        *(words for _, words, _ in _of_paths(request, shown)),
    ]
    return shown.text(", ".join(words))


class Shown:
    """How things that a server said are shown.

    Args:
        secrets: descriptions whose secrets are not.
    """

    def __init__(self, secrets: Any) -> None:
        self._secrets = secrets

    def value(self, value: Any) -> str:
        """As JSON. It is cleaned as it is, because a secret that is quoted or cut is not found any more."""
        return _cut(json.dumps(hidden(value, self._secrets), ensure_ascii=False))

    def text(self, text: str) -> str:
        """As it is, on one line."""
        return _cut(printable(hidden(text, self._secrets)))

    def url(self, url: str) -> str:
        """Without its query."""
        return self.text(url.partition("?")[0])

    def answer(self, answer: Answer) -> str:
        """Its code and where it leads, or the beginning of what it says."""
        if answer.target is not None and 300 <= answer.status < 400:
            return f"{answer.said} to {self.url(answer.target)}"
        if answer.status >= 400 and answer.body:
            try:
                return f"{answer.said}: {self.value(answer.json)}"
            except ValueError:
                if answer.kind == "text/plain":
                    return f"{answer.said}: {self.text(answer.text)}"
        return answer.said


def _passes(request: Request, status: int) -> bool:
    if request.status:
        return status in request.status
    return 300 <= status < 400 if request.redirects_to is not None else 200 <= status < 300


def _codes(request: Request) -> str:
    if request.status:
        return " or ".join(map(str, request.status))
    return "300 to 399" if request.redirects_to is not None else "200 to 299"


def _of_target(request: Request, answer: Answer, shown: Shown) -> Iterator[Problem]:
    if request.redirects_to is None:
        return
    # One without a host may be meant as the server wrote it.
    targets = [answer.target or "", answer.headers.get("Location", "")]
    if not any(target.startswith(request.redirects_to) for target in targets):
        value = shown.answer(answer) if answer.target else f"{answer.said} to nowhere"
        yield Problem(value, f"to {shown.url(request.redirects_to)}")


def _of_headers(request: Request, answer: Answer, shown: Shown) -> Iterator[Problem]:
    for name, part in request.header.items():
        found = answer.headers.get(name)
        if found is None:
            yield Problem(f"there is no header {name}", f"{name} with {part!r}")
        elif part not in found:
            yield Problem(f"{name} is {shown.text(found)!r}", f"{name} with {part!r}")


def _of_text(request: Request, answer: Answer, shown: Shown) -> Iterator[Problem]:
    if request.text is not None and request.text not in answer.text:
        wanted = shown.text(request.text)
        yield Problem(f"{answer.said} without {wanted!r}", f"with {wanted!r}")


def _of_json(request: Request, answer: Answer, shown: Shown) -> Iterator[Problem]:
    expectations = _of_paths(request, shown)
    if not expectations:
        return
    try:
        document = answer.json
    except ValueError:
        kind = answer.kind or "a body of no type"
        yield Problem(f"{answer.said} with {shown.text(kind)} that is not JSON", ", ".join(e[1] for e in expectations))
        return
    for path, words, holds in expectations:
        try:
            found = jmespath.search(path, document)
        except JMESPathError:
            # A function that was given what it cannot take: the length of null, say.
            yield Problem(f"{path} cannot be told of {shown.value(document)}", words)
            continue
        if not holds(found):
            yield Problem(f"{path} is {shown.value(found)}", words)


def _of_paths(request: Request, shown: Shown) -> list[tuple[str, str, Callable[[Any], bool]]]:
    """Each path with what must be there, in words and as a function."""
    return [
        *((path, f"{path} = {shown.value(wanted)}", partial(_same, wanted)) for path, wanted in request.equals.items()),
        *((path, f"{path} not empty", _is_something) for path in request.not_empty),
        *((path, f"{path} empty", _is_nothing) for path in request.empty),
        *((path, f"{path} ≥ {number(least)}", partial(_at_least, least)) for path, least in request.at_least.items()),
        *((path, f"{path} ≤ {number(most)}", partial(_at_most, most)) for path, most in request.at_most.items()),
    ]


def _same(wanted: Any, found: Any) -> bool:
    """Equal as JSON, where true is not 1."""
    return bool(found == wanted) and isinstance(found, bool) is isinstance(wanted, bool)


def _is_nothing(found: Any) -> bool:
    return found in (None, "", [], {})


def _is_something(found: Any) -> bool:
    return not _is_nothing(found)


def _at_least(least: float, found: Any) -> bool:
    return _is_number(found) and found >= least


def _at_most(most: float, found: Any) -> bool:
    return _is_number(found) and found <= most


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
