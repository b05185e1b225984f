"""What waits in a queue, asked of a stand-in that keeps to Cloudflare's own contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standins.cloudflare import ACCOUNT, BASE, TOKEN, CloudflareApi, now_ms
from surroundings import around, described

from ops import Backlog, Queues, probes
from ops.checks import Result
from ops.errors import ConfigurationError, PlatformDenied, PlatformUnreachable
from ops.secrets import Secret


@pytest.fixture
def cloud() -> Iterator[CloudflareApi]:
    """An account with the queues ``jobs`` and ``jobs-2``."""
    with CloudflareApi() as cloud:
        yield cloud
    assert not cloud.violations
    assert {request.method for request in cloud.requests} <= {"GET"}, "it only reads"


def ask(cloud: CloudflareApi, check: Backlog, token: str = TOKEN) -> dict[str, Result]:
    queues = Queues(account=ACCOUNT, api=f"{cloud.url}{BASE}", token=Secret("CLOUDFLARE_API_TOKEN", lambda: token))
    return {one.what: one for one in probes.ask(check, around(described(queues=queues)))}


def fill(cloud: CloudflareApi, *ages: float) -> None:
    (jobs,) = [queue["queue_id"] for queue in cloud.queues if queue["queue_name"] == "jobs"]
    cloud.messages[jobs] = [now_ms() - int(1000 * age) for age in ages]


def pause(cloud: CloudflareApi) -> None:
    (jobs,) = [queue for queue in cloud.queues if queue["queue_name"] == "jobs"]
    jobs["settings"]["delivery_paused"] = True


def told(found: dict[str, Result]) -> dict[str, str]:
    return {what: one.outcome for what, one in found.items()}


def test_a_queue_that_is_worked_off_passes(cloud: CloudflareApi) -> None:
    found = ask(cloud, Backlog(queue="jobs", at_most=2, oldest="5m"))
    assert told(found) == {"depth": "pass", "oldest": "pass", "delivery": "pass"}
    assert found["oldest"].value == "none waits"
    fill(cloud, 200, 10)
    found = ask(cloud, Backlog(queue="jobs", at_most=2, oldest="5m"))
    assert told(found) == {"depth": "pass", "oldest": "pass", "delivery": "pass"}
    assert (found["depth"].value, found["depth"].limit) == ("2 messages", "≤ 2 messages")
    assert found["delivery"].value == "delivered"
    assert told(ask(cloud, Backlog(queue="jobs"))) == {"depth": "pass", "delivery": "pass"}


def test_a_queue_that_piles_up_fails_and_nothing_else(cloud: CloudflareApi) -> None:
    fill(cloud, 1, 2, 3)
    found = ask(cloud, Backlog(queue="jobs", at_most=2, oldest="5m"))
    assert told(found) == {"depth": "fail", "oldest": "pass", "delivery": "pass"}
    assert found["depth"].value == "3 messages" and found["depth"].hint


def test_a_message_that_has_waited_for_too_long_fails_and_nothing_else(cloud: CloudflareApi) -> None:
    fill(cloud, 3700)
    found = ask(cloud, Backlog(queue="jobs", oldest="5m"))
    assert told(found) == {"depth": "pass", "oldest": "fail", "delivery": "pass"}
    assert (found["oldest"].value, found["oldest"].limit) == ("1h 1m", "≤ 5m")


def test_a_message_of_unknown_age_is_unknown(cloud: CloudflareApi) -> None:
    (jobs,) = [queue["queue_id"] for queue in cloud.queues if queue["queue_name"] == "jobs"]
    cloud.messages[jobs] = [0]
    found = ask(cloud, Backlog(queue="jobs", oldest="5m"))
    assert told(found) == {"depth": "pass", "oldest": "unknown", "delivery": "pass"}


def test_a_queue_that_is_paused_fails_unless_it_may_be(cloud: CloudflareApi) -> None:
    pause(cloud)
    found = ask(cloud, Backlog(queue="jobs"))
    assert told(found) == {"depth": "pass", "delivery": "fail"}
    assert (found["delivery"].value, found["delivery"].limit) == ("paused", "delivered")
    assert found["delivery"].hint == "Type: pyinfra test deploys/treat.py --data resume=jobs"
    found = ask(cloud, Backlog(queue="jobs", paused=True))
    assert (found["delivery"].outcome, found["delivery"].value) == ("pass", "paused")


def test_a_queue_that_does_not_exist_fails(cloud: CloudflareApi) -> None:
    found = ask(cloud, Backlog(queue="job"))
    assert told(found) == {"": "fail"}
    assert "no queue job in this account" in found[""].value and found[""].hint


def test_a_token_that_is_refused_is_unknown_and_not_shown(cloud: CloudflareApi) -> None:
    with pytest.raises(PlatformDenied) as failure:
        ask(cloud, Backlog(queue="jobs"), token="wrong-token")
    assert "wrong-token" not in str(failure.value) and "CLOUDFLARE_API_TOKEN" in failure.value.hint


def test_an_api_that_is_not_there_is_unknown() -> None:
    queues = Queues(account=ACCOUNT, api="http://127.0.0.1:9", token=Secret("T", lambda: TOKEN))
    with pytest.raises(PlatformUnreachable):
        probes.ask(Backlog(queue="jobs"), around(described(queues=queues)))


def test_an_environment_without_queues_is_told_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match="test describes no queues") as failure:
        probes.ask(Backlog(queue="jobs"), around(described()))
    assert "queues=Queues(" in failure.value.hint
