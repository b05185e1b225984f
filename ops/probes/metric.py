"""What Prometheus says of an expression."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

from ops.checks import Metric, Outcome, Result
from ops.checks.http import Request as Asked
from ops.checks.limits import at_least, at_most
from ops.checks.result import unknown
from ops.probes.exchange import Answer, Exchange, Unanswered
from ops.probes.expectation import Shown
from ops.worker.request import Request

_GRAPH = "Look at the expression in its own page: /graph"


def ask(check: Metric, at: Request) -> Iterator[Result]:
    """One result: of several series the worst."""
    exchange = Exchange(check.timeout)
    url = f"{check.url.rstrip('/')}/api/v1/query?{urlencode({'query': check.query})}"
    try:
        answer = exchange.ask(Asked(url=url, headers=check.headers, ca_file=check.ca_file))
    except Unanswered as why:
        yield unknown(why.value, why.hint)
        return
    finally:
        exchange.close()
    yield _judged(check, answer, Shown(check))


def _judged(check: Metric, answer: Answer, shown: Shown) -> Result:
    try:
        document = answer.json
        if document["status"] != "success":
            why = str(document.get("error")).removeprefix('invalid parameter "query": ')
            return unknown(shown.text(f"{document.get('errorType')}: {why}"), _GRAPH)
        kind, found = document["data"]["resultType"], document["data"]["result"]
        if kind not in ("scalar", "vector"):
            return unknown(f"the query gives a {kind}", "Write one that gives a number or an instant vector")
        series = [({}, found[1])] if kind == "scalar" else [(one["metric"], one["value"][1]) for one in found]
        results = [(_one(check, float(value)), _labels(shown, labels), float(value)) for labels, value in series]
    except (ValueError, TypeError, LookupError):
        if answer.status < 300:
            said = f"{answer.said} with {answer.kind or 'a body of no type'}, and not as Prometheus answers"
            return unknown(shown.text(said), "Is url=… its address, without /api?")
        return unknown(shown.answer(answer), "Look at url=… and headers=…")
    if not results:
        return unknown("the query gives nothing", "Is what it asks for scraped? Look at its pages /targets and /graph")
    result, labels, _ = min(results, key=lambda one: _rank(check, one[0], one[2]))
    among = f", the worst of {len(results)}" if len(results) > 1 else ""
    result = replace(result, value=f"{result.value}{labels}{among}")
    warnings = document.get("warnings")
    if warnings and not result.outcome.bad:
        # Of Thanos, say, when it could not ask all of its stores: what was left out may be the worst.
        return replace(result, outcome=Outcome.UNKNOWN, value=shown.text(f"{result.value}, but {warnings[0]}"))
    return result


def _one(check: Metric, value: float) -> Result:
    if math.isnan(value):
        return unknown("NaN", "It divides by nothing: was there anything to measure?")
    judge, limit = (at_least, check.at_least) if check.at_most is None else (at_most, check.at_most)
    return judge(value, limit, warn=check.warn, unit=check.unit, hint=_GRAPH)


def _rank(check: Metric, result: Result, value: float) -> tuple[int, float]:
    """The worst first; of equals the one that is farthest on the way to the limit, or beyond it."""
    far = 0.0 if math.isnan(value) else value if check.at_most is None else -value
    return list(Outcome).index(result.outcome), far


def _labels(shown: Shown, labels: dict[str, str]) -> str:
    told = ", ".join(f"{name}={json.dumps(value)}" for name, value in labels.items() if name != "__name__")
    return f" {shown.text(f'{{{told}}}')}" if told else ""
