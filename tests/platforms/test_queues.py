"""Cloudflare Queues on the stand-in: what is paused, what waits, what is purged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from standins.cloudflare import ACCOUNT, BASE, TOKEN, CloudflareApi, now_ms
from standins.server import Fault

from ops.errors import ConfigurationError, PlatformDenied, ServiceMissing
from ops.platforms.queues import Backlog, CloudflareQueues
from ops.secrets import Secret
from ops.services import Queues


@pytest.fixture
def cloud() -> Iterator[CloudflareApi]:
    """An account with the queues ``jobs`` and ``jobs-2``."""
    with CloudflareApi() as cloud:
        yield cloud
    assert not cloud.violations


@pytest.fixture
def queues(cloud: CloudflareApi) -> CloudflareQueues:
    """Its queues."""
    return opened(cloud, TOKEN)


def opened(cloud: CloudflareApi, token: str) -> CloudflareQueues:
    secret = Secret("CLOUDFLARE_API_TOKEN", lambda: token)
    return CloudflareQueues(Queues(account=ACCOUNT, token=secret, api=f"{cloud.url}{BASE}"))


def settings(cloud: CloudflareApi) -> dict[str, bool]:
    return {each["queue_name"]: each["settings"]["delivery_paused"] for each in cloud.queues}


def test_a_queue_is_paused_once_and_goes_on_once(cloud: CloudflareApi, queues: CloudflareQueues) -> None:
    assert queues.paused("jobs") is False
    assert [queues.set_paused("jobs", True), queues.set_paused("jobs", True)] == [True, False]
    assert queues.paused("jobs") is True
    assert settings(cloud) == {"jobs": True, "jobs-2": False}
    assert [queues.set_paused("jobs", False), queues.set_paused("jobs", False)] == [True, False]
    assert [request.body for request in cloud.requests if request.method == "PATCH"] == [
        {"settings": {"delivery_paused": True}},
        {"settings": {"delivery_paused": False}},
    ]
    assert cloud.queues[1]["settings"]["message_retention_period"] == 345600


def test_the_names_of_every_page_are_read(cloud: CloudflareApi, queues: CloudflareQueues) -> None:
    cloud.page = 1
    assert queues.names() == ["jobs", "jobs-2"]
    cloud.queues.clear()
    assert queues.names() == []


def test_what_waits_is_counted_and_its_age_told(cloud: CloudflareApi, queues: CloudflareQueues) -> None:
    assert queues.backlog("jobs") == Backlog(0, None)
    cloud.messages[cloud.queues[1]["queue_id"]] += [now_ms() - 90_000, now_ms()]
    backlog = queues.backlog("jobs")
    assert backlog.messages == 2
    assert backlog.oldest is not None
    assert timedelta(seconds=89) < backlog.oldest < timedelta(seconds=120)


def test_a_message_from_a_clock_ahead_of_ours_has_no_age(cloud: CloudflareApi, queues: CloudflareQueues) -> None:
    cloud.messages[cloud.queues[1]["queue_id"]].append(now_ms() + 60_000)
    assert queues.backlog("jobs").oldest == timedelta()


def test_a_purge_empties_that_queue_alone(cloud: CloudflareApi, queues: CloudflareQueues) -> None:
    for waiting in cloud.messages.values():
        waiting.append(now_ms())
    queues.purge("jobs")
    assert (queues.backlog("jobs").messages, queues.backlog("jobs-2").messages) == (0, 1)


@pytest.mark.parametrize("ask", ["paused", "backlog", "purge"])
def test_a_queue_that_does_not_exist_is_said(cloud: CloudflareApi, queues: CloudflareQueues, ask: str) -> None:
    with pytest.raises(ServiceMissing, match="no queue job ") as failure:
        getattr(queues, ask)("job")
    assert failure.value.hint
    assert {request.method for request in cloud.requests} == {"GET"}


def test_too_many_requests_are_waited_for(cloud: CloudflareApi, queues: CloudflareQueues) -> None:
    cloud.faults.append(Fault(429, {}, {"Retry-After": "0"}, on="PATCH"))
    assert queues.set_paused("jobs", True) is True


def test_a_wrong_token_is_said_and_not_shown(cloud: CloudflareApi) -> None:
    with pytest.raises(PlatformDenied) as failure:
        opened(cloud, "wrong-token").paused("jobs")
    assert "wrong-token" not in str(failure.value)


def test_a_wrong_account_is_said_in_one_line() -> None:
    with pytest.raises(ConfigurationError, match="32 hexadecimal digits"):
        Queues(account="acme", token=Secret("T", lambda: "t"))
