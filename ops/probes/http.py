"""Whether a URL answers as it must, how soon, and how long its certificate is valid."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from shlex import quote

from ops.checks import Http, Outcome, Result
from ops.checks.limits import at_least, at_most
from ops.checks.result import unknown
from ops.probes.exchange import Answer, Exchange, Unanswered
from ops.probes.expectation import Problem, expected, problems
from ops.worker.request import Request


def ask(check: Http, at: Request) -> Iterator[Result]:
    """The answer is one result; its latency, the 95th percentile, and the certificate are one each where asked for."""
    exchange = Exchange(check.timeout)
    try:
        tries = _tries(check, exchange)
    finally:
        exchange.close()
    yield _answer(check, tries)
    times = [one.seconds for one in tries if one.seconds is not None] or [0.0]
    measured = {"latency": (max(times), check.within), "p95": (percentile(times), check.p95)}
    answered = sum(one.answer is not None for one in tries)
    for what, (seconds, limit) in measured.items():
        if limit is not None:
            hint = f"Look what it waits for: pyinfra {at.environment} deploys/triage.py"
            result = at_most(seconds, limit, unit=" s", what=what, hint=hint)
            yield result if answered == check.tries else _incomplete(result, answered, check.tries)
    if check.certificate is not None:
        yield _certificate(check.certificate, tries, exchange.valid_until)


@dataclass(frozen=True)
class _Try:
    """What came of one try: an answer and its problems, or that there was none.

    Args:
        answer: None: none.
        problems: of the answer.
        why: there was none.
    """

    answer: Answer | None = None
    problems: Sequence[Problem] = ()
    why: Unanswered | None = None

    @property
    def good(self) -> bool:
        return self.answer is not None and not self.problems

    @property
    def seconds(self) -> float | None:
        """How long it took, or at least did; None: nobody waited for it."""
        one = self.answer or self.why
        return one.seconds if one else None


def _tries(check: Http, exchange: Exchange) -> list[_Try]:
    """As many as asked for, unless one cannot be asked or the time is over."""
    found: list[_Try] = []
    while len(found) < check.tries:
        try:
            answer = exchange.ask(check)
            found.append(_Try(answer, problems(check, answer)))
        except Unanswered as why:
            found.append(_Try(why=why))
            if not why.asked or why.seconds is not None:
                break
    return found


def _answer(check: Http, tries: Sequence[_Try]) -> Result:
    bad = next((one for one in tries if not one.good), None)
    if bad is None:
        slowest = max(one.seconds or 0 for one in tries)
        codes = " and ".join(dict.fromkeys(str(one.answer.status) for one in tries if one.answer))
        times = (
            f"{codes} in {slowest:.2f} s"
            if check.tries == 1
            else f"{codes}, {check.tries} times, in at most {slowest:.2f} s"
        )
        return Result(Outcome.PASS, times, expected(check))
    if bad.why is not None and not bad.why.asked:
        return unknown(bad.why.value, bad.why.hint)
    value = bad.why.value if bad.why else "; ".join(one.value for one in bad.problems)
    limit = expected(check) if bad.why else ", ".join(one.limit for one in bad.problems)
    if check.tries > 1:
        value = f"{sum(one.good for one in tries)} of {check.tries} tries were right: {value}"
    return Result(Outcome.FAIL, value, limit, bad.why.hint if bad.why else _look(check))


def _look(check: Http) -> str:
    """How to see it oneself, without what may be secret."""
    url, _, query = check.url.partition("?")
    return (
        f"Type: curl -i {quote(url)}"
        if check.method == "GET" and not query and not check.headers
        else "Look at its log"
    )


def _incomplete(result: Result, answered: int, tries: int) -> Result:
    """Those that were answered do not tell how slow the others would have been; that one was too slow, they do."""
    if result.outcome is Outcome.FAIL and result.what == "latency":
        return result
    value = f"only {answered} of {tries} tries were answered" if answered else "no whole answer"
    return replace(result, outcome=Outcome.UNKNOWN, value=value)


def percentile(seconds: Sequence[float]) -> float:
    """The 95th, by nearest rank: the smallest that at least 95 of 100 are not above."""
    return sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]


def _certificate(days: int, tries: Sequence[_Try], valid_until: float | None) -> Result:
    refused = next((one.why for one in tries if one.why and one.why.certificate), None)
    if refused is not None:
        said = refused.value.removeprefix("its certificate ")
        return Result(Outcome.FAIL, said, f"≥ {days} days", refused.hint, "certificate")
    if valid_until is None:
        return unknown("no connection in TLS", what="certificate")
    end = datetime.fromtimestamp(valid_until, UTC)
    return at_least(
        float((valid_until - time.time()) // 86400), days, unit=" days", what="certificate",
        hint=f"Renew it before {end:%Y-%m-%d}, and have the server read it",
    )  # fmt: skip
