"""What the check ``Upstream`` says of status pages in the format of Statuspage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from faulty_web import Web, serving
from worker_request import asked, asked_one

from ops.checks import Outcome, Upstream
from ops.sandbox import ports

FAIL, UNKNOWN, WARN, PASS = Outcome.FAIL, Outcome.UNKNOWN, Outcome.WARN, Outcome.PASS


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


def page(indicator: str = "none", description: str = "All Systems Operational", **more: Any) -> dict[str, Any]:
    """As ``/api/v2/summary.json`` is."""
    return {
        "page": {
            "id": "kctbh9vrtdwd",
            "name": "GitHub",
            "url": "https://www.githubstatus.com",
            "time_zone": "Etc/UTC",
            "updated_at": "2026-11-27T08:06:22.311Z",
        },
        "components": [
            component("8l4ygp009s5s", "Git Operations", "operational"),
            component("4230lsnqdsld", "Webhooks", "degraded_performance"),
            component("0l2p9nhqnxpd", "Visit www.githubstatus.com for more information", "operational"),
            component("br0l2tvcx85d", "Actions", "partial_outage"),
            component("st3j38cctv9l", "Packages", "major_outage"),
            component("vg70hn9s2tyj", "Pages", "under_maintenance"),
            component("h2ftsgbw7kmk", "API", "operational", group="eu"),
            component("h2ftsgbw7kml", "API", "partial_outage", group="us"),
            component("eu", "Europe", "operational"),
        ],
        "incidents": [],
        "scheduled_maintenances": [],
        "status": {"indicator": indicator, "description": description},
        **more,
    }


def component(id: str, name: str, status: str, group: str | None = None) -> dict[str, Any]:
    """One of a page's components."""
    return {
        "id": id, "name": name, "status": status, "created_at": "2017-01-31T20:05:05.370Z",
        "updated_at": "2026-11-20T14:08:53.321Z", "position": 1, "description": None, "showcase": False,
        "start_date": None, "group_id": group, "page_id": "kctbh9vrtdwd", "group": id == "eu",
        "only_show_if_degraded": False,
    }  # fmt: skip


def incident(name: str, status: str) -> dict[str, Any]:
    """One of a page's incidents."""
    return {
        "id": "p31zjtct2jer", "name": name, "status": status, "impact": "major", "shortlink": "https://stspg.io/x",
        "created_at": "2026-11-27T07:02:11.321Z", "incident_updates": [], "components": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("indicator", "description", "outcome"),
    [
        ("none", "All Systems Operational", PASS),
        ("minor", "Minor Service Outage", WARN),
        ("maintenance", "Service Under Maintenance", WARN),
        ("major", "Partial System Outage", FAIL),
        ("critical", "Major Service Outage", FAIL),
    ],
)
def test_the_pages_indicator_decides(web: Web, indicator: str, description: str, outcome: Outcome) -> None:
    web.on("/api/v2/summary.json", page(indicator, description))
    result = asked_one(Upstream(url=f"{web.url}/"))
    assert (result.outcome, result.value, result.limit) == (outcome, description, "none")
    assert result.hint == ("" if outcome is PASS else f"Look at {web.url}/")


def test_what_goes_on_is_named(web: Web) -> None:
    incidents = [incident("It was slow", "resolved"), incident("Errors in Europe", "investigating")]
    web.on("/api/v2/summary.json", page("major", "Partial System Outage", incidents=incidents))
    assert asked_one(Upstream(url=web.url)).value == "Partial System Outage: Errors in Europe"


def test_components_that_count_are_each_a_result(web: Web) -> None:
    web.on("/api/v2/summary.json", page("critical", "Major Service Outage"))
    names = ["Git Operations", "Webhooks", "Actions", "Packages", "Pages", "API"]
    results = asked(Upstream(url=web.url, components=names))
    assert [(one.what, one.outcome, one.value) for one in results] == [
        ("Git Operations", PASS, "operational"),
        ("Webhooks", WARN, "degraded performance"),
        ("Actions", FAIL, "partial outage"),
        ("Packages", FAIL, "major outage"),
        ("Pages", WARN, "under maintenance"),
        ("API", FAIL, "partial outage"),
    ]
    assert {one.limit for one in results} == {"operational"}
    assert all(bool(one.hint) is (one.outcome is not PASS) for one in results)


def test_a_component_that_is_not_there_is_unknown_and_the_others_are_not(web: Web) -> None:
    web.on("/api/v2/summary.json", page())
    known, lost = asked(Upstream(url=web.url, components=["Git Operations", "Action"]))
    assert (known.outcome, lost.outcome) == (PASS, UNKNOWN)
    assert (lost.value, lost.hint) == ("the page has no such component", "Did you mean Actions?")


def test_a_page_without_a_summary_has_its_status_alone(web: Web) -> None:
    whole = page("minor", "Minor Service Outage")
    web.on("/api/v2/status.json", {"page": whole["page"], "status": whole["status"]})
    result = asked_one(Upstream(url=web.url))
    assert (result.outcome, result.value) == (WARN, "Minor Service Outage")
    result = asked_one(Upstream(url=web.url, components=["API"]))
    assert (result.outcome, result.value) == (UNKNOWN, "404 Not Found: there is nothing")


ODD = "200 OK with application/json, and not as Statuspage answers"


@pytest.mark.parametrize(
    ("body", "status", "value"),
    [
        (b"<html>", 200, "200 OK with text/plain, and not as Statuspage answers"),
        (["none"], 200, ODD),
        ({"page": {"name": "Acme", "status": "UP"}}, 200, ODD),
        ({"status": {"indicator": "fine", "description": "!"}}, 200, ODD),
        (b"", 503, "503 Service Unavailable"),
    ],
)  # fmt: skip
def test_what_is_no_status_page_is_unknown(web: Web, body: Any, status: int, value: str) -> None:
    web.on("/api/v2/summary.json", body, status)
    for check in (Upstream(url=web.url), Upstream(url=web.url, components=["API"])):
        result = asked_one(check)
        assert (result.outcome, result.value) == (UNKNOWN, value)
        assert result.hint.startswith(f"Look at {web.url}")


def test_a_page_that_has_moved_is_unknown_and_says_where_to(web: Web) -> None:
    web.on("/api/v2/summary.json", b"", 301, Location="https://status.example.com/api/v2/summary.json")
    result = asked_one(Upstream(url=web.url))
    assert result.outcome is UNKNOWN
    assert result.hint == "Write url='https://status.example.com'"


def test_a_page_that_cannot_be_reached_is_unknown(web: Web) -> None:
    assert asked_one(Upstream(url=f"http://127.0.0.1:{ports.free()}")).value == "the connection was refused"
    web.does("/api/v2/summary.json", lambda handler: handler.drip(b"HTTP/1.1 200 OK\r\n" * 1000))
    result = asked_one(Upstream(url=web.url, timeout=0.3))
    assert result.outcome is UNKNOWN
    assert result.value.startswith("no whole answer in 0.")
