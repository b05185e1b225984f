"""Whose turn it is."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ops.turns import Turns


def roll(turns: Turns, hosts: list[str], at_work, looks=lambda host: None) -> dict[str, bool]:
    """Each host queues, looks, and has its turn; which of them had one."""
    queued = threading.Barrier(len(hosts))

    def one(host: str) -> bool:
        with turns.queued(host, hosts.index(host)):
            queued.wait(10)
            looks(host)
            with turns.one(host) as there_is_one:
                if there_is_one:
                    at_work(host)
                return there_is_one

    with ThreadPoolExecutor(len(hosts)) as pool:
        running = {host: pool.submit(one, host) for host in reversed(hosts)}
    return {host: done.exception() is None and done.result() for host, done in running.items()}


def test_so_many_work_at_once_in_the_order_of_their_rank():
    began, working, most = [], set(), []

    def work(host):
        began.append(host)
        working.add(host)
        most.append(len(working))
        time.sleep(0.05)
        working.discard(host)

    hosts = [f"h{number}" for number in range(9)]
    assert all(roll(Turns(3), hosts, work).values())
    assert max(most) == 3
    assert sorted(began[:3]) == hosts[:3]


def test_the_first_failure_ends_all_turns_that_have_not_begun():
    def work(host):
        if host == "b":
            raise ValueError(host)

    turns = Turns(1)
    assert roll(turns, ["a", "b", "c", "d"], work) == {"a": True, "b": False, "c": False, "d": False}
    assert turns.failed == "b"


def test_what_one_finds_wrong_while_it_looks_ends_the_turns_of_all():
    def look(host):
        if host == "d":
            time.sleep(0.2)
            raise ValueError(host)

    worked = []
    assert roll(Turns(1), ["a", "b", "c", "d"], worked.append, look) == dict.fromkeys("abcd", False)
    assert worked == []


def test_a_host_with_nothing_to_do_is_not_waited_for():
    turns = Turns(1)
    with turns.queued("a", 0):
        pass
    with turns.queued("b", 1), turns.one("b") as there_is_one:
        assert there_is_one
    with pytest.raises(ValueError), turns.queued("c", 2):
        raise ValueError
    assert turns.failed == "c"
