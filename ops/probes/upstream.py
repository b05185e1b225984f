"""What the status page of somebody else says: Statuspage's format (https://metastatuspage.com/api/v2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from ops.checks import Outcome, Result, Upstream
from ops.checks.http import Request as Asked
from ops.checks.result import unknown, worst
from ops.probes.exchange import Answer, Exchange, Unanswered
from ops.probes.expectation import Shown
from ops.worker.request import Request

_INDICATORS = {
    "none": Outcome.PASS,
    "minor": Outcome.WARN,
    "maintenance": Outcome.WARN,
    "major": Outcome.FAIL,
    "critical": Outcome.FAIL,
}
_COMPONENTS = {
    "operational": Outcome.PASS,
    "degraded_performance": Outcome.WARN,
    "under_maintenance": Outcome.WARN,
    "partial_outage": Outcome.FAIL,
    "major_outage": Outcome.FAIL,
}


def ask(check: Upstream, at: Request) -> list[Result]:
    """The page's indicator, or each of the components that count."""
    shown = Shown(None)
    try:
        answer = _page(check)
        return list(
            _components(check, answer.json, shown) if check.components else [_overall(check, answer.json, shown)]
        )
    except Unanswered as why:
        return [unknown(why.value, why.hint)]
    except (ValueError, TypeError, LookupError, AttributeError):
        pass
    if answer.target is not None:
        return [unknown(shown.answer(answer), f"Write url={shown.url(answer.target).partition('/api/')[0]!r}")]
    kind = answer.kind or "a body of no type"
    said = shown.answer(answer) if answer.status >= 300 else f"{answer.said} with {kind}, and not as Statuspage answers"
    return [unknown(shown.text(said), f"Look at {check.url}: is there a page by Statuspage?")]


def _page(check: Upstream) -> Answer:
    """The summary; where there is none, the indicator alone has an address of its own."""
    exchange = Exchange(check.timeout)
    try:
        answer = exchange.ask(_request(check, "summary"))
        if answer.status == 404 and not check.components:
            answer = exchange.ask(_request(check, "status"))
        return answer
    finally:
        exchange.close()


def _request(check: Upstream, document: str) -> Asked:
    return Asked(url=f"{check.url.rstrip('/')}/api/v2/{document}.json", ca_file=check.ca_file)


def _overall(check: Upstream, page: Any, shown: Shown) -> Result:
    status = page["status"]
    outcome = _INDICATORS[status["indicator"]]
    value = shown.text(": ".join([status["description"], *_incidents(page)[:1]]))
    return Result(outcome, value, "none", "" if outcome is Outcome.PASS else f"Look at {check.url}")


def _incidents(page: Any) -> list[str]:
    """What goes on just now, by name; the newest first."""
    return [one["name"] for one in page.get("incidents", []) if one["status"] not in ("resolved", "postmortem")]


def _components(check: Upstream, page: Any, shown: Shown) -> Iterator[Result]:
    states: dict[str, list[str]] = {}
    for component in page["components"]:
        states.setdefault(component["name"], []).append(component["status"])
    for name in check.components:
        found = states.get(name)
        if not found:
            close = get_close_matches(name, states, n=1)
            hint = f"Did you mean {shown.text(close[0])}?" if close else f"Look at {check.url}"
            yield unknown("the page has no such component", hint, what=name)
            continue
        # Several groups may have one of the same name, such as regions.
        outcomes = [Result(_COMPONENTS[state], state.replace("_", " "), "operational", what=name) for state in found]
        one = next(each for each in outcomes if each.outcome is worst(outcomes))
        yield one if one.outcome is Outcome.PASS else replace(one, hint=f"Look at {check.url}")
