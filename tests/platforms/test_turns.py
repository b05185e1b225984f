"""Whose turn it is."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ops.turns import Turns


def roll(turns: Turns, hosts: list[str], at_work, looks=lambda host: None, at_once=1, sick=()) -> dict[str, bool]:
    """Each host queues, looks, and has its turn; which of them had one."""
    queued = threading.Barrier(len(hosts))

    def one(host: str) -> bool:
        with turns.queued(host):
            queued.wait(10)
            looks(host)
            with turns.one(host, (host not in sick, hosts.index(host)), at_once):
                if turns.failed:
                    return False
                at_work(host)
                return True

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
    assert all(roll(Turns(), hosts, work, at_once=3).values())
    assert max(most) == 3
    assert sorted(began[:3]) == hosts[:3]


def test_the_first_failure_ends_all_turns_that_have_not_begun():
    def work(host):
        if host == "b":
            raise ValueError(host)

    turns = Turns()
    assert roll(turns, ["a", "b", "c", "d"], work) == {"a": True, "b": False, "c": False, "d": False}
    assert turns.failed == "b"


def test_what_one_finds_wrong_while_it_looks_ends_the_turns_of_all():
    def look(host):
        if host == "d":
            time.sleep(0.2)
            raise ValueError(host)

    worked = []
    assert roll(Turns(), ["a", "b", "c", "d"], worked.append, look) == dict.fromkeys("abcd", False)
    assert worked == []


def test_who_serves_nobody_anyway_comes_first():
    began = []
    roll(Turns(), ["a", "b", "c"], began.append, sick=["c"])
    assert began == ["c", "a", "b"]


def test_a_host_with_nothing_to_do_is_not_waited_for():
    turns = Turns()
    with turns.queued("a"):
        pass
    with turns.queued("b"), turns.one("b", (True, 1), 1):
        assert not turns.failed
    with pytest.raises(ValueError), turns.queued("c"):
        raise ValueError
    assert turns.failed == "c"
