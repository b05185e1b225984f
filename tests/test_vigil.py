"""When a trigger holds: after it failed for long enough, and not after a blip."""

from __future__ import annotations

from ops.checks import Outcome, Result, Trigger
from ops.vigil import Vigil

ERRORS = Trigger(check="error rate", lasting="2m")


def result(outcome: str, check: str = "error rate", what: str = "") -> Result:
    return Result(Outcome(outcome), "7 %", "≤ 5 %", check=check, what=what)


def held(vigil: Vigil, now: float, *outcomes: str) -> list[str]:
    return [one.trigger.check for one in vigil.round(now, map(result, outcomes)) if one.holds]


def test_a_check_that_fails_for_as_long_as_it_says_holds() -> None:
    vigil = Vigil([ERRORS])
    assert [held(vigil, now, "fail") for now in (0, 60, 119.9)] == [[], [], []]
    assert held(vigil, 120, "fail") == ["error rate"]


def test_a_blip_does_not() -> None:
    vigil = Vigil([ERRORS])
    assert [held(vigil, now, "fail" if now % 30 else "pass") for now in range(0, 600, 15)] == [[]] * 40


def test_a_warning_is_no_failure() -> None:
    vigil = Vigil([ERRORS])
    assert held(vigil, 0, "fail") == []
    assert held(vigil, 119, "warn") == []
    assert held(vigil, 130, "fail") == []
    assert held(vigil, 250, "fail") == ["error rate"]


def test_an_unknown_round_neither_counts_nor_begins_it_anew() -> None:
    vigil = Vigil([ERRORS])
    assert held(vigil, 0, "fail") == []
    assert held(vigil, 60, "unknown") == []
    assert held(vigil, 120, "unknown") == []
    assert held(vigil, 130, "fail") == ["error rate"]


def test_unknown_counts_where_the_trigger_says_so() -> None:
    vigil = Vigil([Trigger(check="error rate", lasting="2m", unknown=True)])
    assert held(vigil, 0, "unknown") == []
    assert held(vigil, 120, "unknown") == ["error rate"]


def test_one_of_several_places_that_fails_is_enough() -> None:
    vigil = Vigil([ERRORS])
    assert held(vigil, 0, "pass", "fail") == []
    assert held(vigil, 120, "fail", "pass") == ["error rate"]


def test_a_trigger_may_wait_for_one_of_the_things_that_a_check_looks_at() -> None:
    vigil = Vigil([Trigger(check="database: connections", lasting="0s")])
    assert not vigil.round(0, [result("fail", "database", "version")])
    assert vigil.round(15, [result("fail", "database", "connections")])[0].holds


def test_without_triggers_whatever_fails_or_is_unknown_for_two_minutes_holds() -> None:
    vigil = Vigil([])
    vigil.round(0, [result("unknown", "a"), result("pass", "b")])
    assert vigil.due() == 120
    assert [one.trigger.check for one in vigil.round(120, [result("unknown", "a"), result("fail", "b")])] == ["a", "b"]


def test_the_next_round_is_due_when_a_trigger_would_come_to_hold() -> None:
    vigil = Vigil([ERRORS, Trigger(check="health", lasting="5m")])
    assert vigil.due() is None
    vigil.round(10, [result("fail", "health")])
    assert vigil.due() == 310
    vigil.round(100, [result("fail", "health"), result("fail")])
    assert vigil.due() == 220
    vigil.round(200, [result("pass", "health"), result("pass")])
    assert vigil.due() is None


def test_a_trigger_that_is_due_while_its_check_is_unknown_makes_no_round_at_once() -> None:
    vigil = Vigil([ERRORS])
    assert held(vigil, 0, "fail") == []
    assert held(vigil, 125, "unknown") == []
    assert vigil.due() is None


def test_two_triggers_for_one_check_each_count_for_themselves() -> None:
    vigil = Vigil([ERRORS, Trigger(check="error rate", lasting="5m", unknown=True)])
    assert held(vigil, 0, "unknown") == []
    assert held(vigil, 120, "fail") == []
    assert held(vigil, 240, "fail") == ["error rate"]


def test_a_check_that_was_answered_again_under_other_names_is_not_remembered_as_bad() -> None:
    vigil = Vigil([])
    vigil.round(0, [result("unknown", "database")])
    vigil.round(60, [result("pass", "database", "version")])
    assert not vigil.round(180, [result("unknown", "database")])[0].holds


def test_what_is_not_told_any_more_although_its_check_is_well_begins_anew() -> None:
    vigil = Vigil([Trigger(check="shop: stock", lasting="2m")])
    vigil.round(0, [result("fail", "shop", "stock")])
    vigil.round(60, [result("pass", "shop", "prices")])
    assert not vigil.round(120, [result("fail", "shop", "stock")])[0].holds


def test_what_is_not_told_is_as_unknown_as_its_check() -> None:
    vigil = Vigil([Trigger(check="database: connections", lasting="2m", unknown=True)])
    vigil.round(0, [result("unknown", "database")])
    assert vigil.round(120, [result("unknown", "database")])[0].holds
