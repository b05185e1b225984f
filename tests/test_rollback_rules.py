"""Where a rollback goes, and what becomes of the database: every rule by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ops import rollback, ways
from ops.errors import ConfigurationError, ReleaseMissing
from ops.platforms import Instance, Release, State, Status
from ops.record import Release as Served
from ops.record import Run
from ops.ways import Seen


def at(day: int, hour: int = 10) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def seen(
    serving: str, since: datetime | None, *releases: tuple[str, datetime | None], host: str = "h", service: str = "web"
):
    status = Status((Instance("web_1", State.RUNNING, since, serving),), serving, since)
    return Seen(service, host, status, tuple(Release(*one) for one in releases))


def served(
    release: str, day: int, deploy: str = "release", migration: str | None = None, service: str = "web"
) -> Served:
    return Served(service, release, migration, f"2026-11-{day:02}T10:00:00Z", f"2026-11-{day:02}T10-00-00Z-{deploy}")


THREE = (("3", at(15)), ("2", at(8)), ("1", at(1)))


def test_without_records_it_is_what_the_platform_says_served_before():
    (way,) = ways.decide([seen("3", at(15), *THREE)], {})
    assert (way.serving, way.to, way.served, way.migration) == (("3",), "2", at(8), None)


def test_what_was_never_served_is_not_gone_back_to():
    (way,) = ways.decide([seen("3", at(15), ("3", at(15)), ("2b", None), ("1", at(1)))], {})
    assert way.to == "1"


def test_records_go_before_what_the_platform_says_and_know_the_migration():
    records = [served("3", 15, migration="m3"), served("1", 12, migration="m1"), served("2", 8)]
    (way,) = ways.decide([seen("3", at(15), *THREE)], {"web": records})
    assert (way.to, way.migration, way.since) == ("1", "m1", at(15))


def test_a_restart_in_between_is_the_same_release():
    records = [served("3", 16, "restart"), served("3", 15), served("2", 8, migration="m2")]
    (way,) = ways.decide([seen("3", at(16), *THREE)], {"web": records})
    assert (way.to, way.migration) == ("2", "m2")


def test_rolled_back_from_what_never_held_it_stays_the_second_time():
    records = [served("2", 17, "restart"), served("2", 16, "rollback"), served("2", 8), served("1", 1)]
    (way,) = ways.decide([seen("2", at(16), *THREE)], {"web": records})
    assert (way.to, way.why[:20]) == (None, "web was rolled back ")


def test_rolled_back_once_it_stays_the_second_time():
    records = [served("2", 16, "rollback"), served("3", 15), served("2", 8), served("1", 1)]
    (way,) = ways.decide([seen("2", at(16), *THREE)], {"web": records})
    assert way.to is None
    assert "rolled back to 2 already" in way.why


def test_after_a_rollback_and_a_new_release_what_was_rolled_back_from_is_left_out():
    records = [served("4", 17), served("2", 16, "rollback"), served("3", 15), served("2", 8)]
    (way,) = ways.decide([seen("4", at(17), ("4", at(17)), *THREE)], {"web": records})
    assert way.to == "2"
    records = [served("2", 18), served("4", 17), served("1", 16, "rollback"), served("3", 15), served("1", 8)]
    (way,) = ways.decide([seen("2", at(18), ("4", at(17)), *THREE)], {"web": records})
    assert way.to == "4"


def test_the_newer_one_that_is_asked_for_goes_forward_again():
    records = [served("2", 16, "rollback"), served("3", 15, migration="m3"), served("2", 8)]
    (way,) = ways.decide([seen("2", at(16), *THREE)], {"web": records}, "3")
    assert (way.to, way.migration) == ("3", "m3")
    (way,) = ways.decide([seen("3", at(16), *THREE)], {"web": records}, "3")
    assert way.to is None


def test_a_half_finished_roll_goes_back_on_every_host():
    records = [served("2", 8), served("1", 1)]
    hosts = [seen("3", at(15), *THREE, host="a"), seen("2", at(8), *THREE, host="b")]
    (way,) = ways.decide(hosts, {"web": records})
    assert way.serving == ("3", "2")
    assert way.to == "2"
    (way,) = ways.decide(hosts, {})
    assert way.to == "2"


def test_a_release_that_one_host_lacks_is_said_with_its_hosts():
    hosts = [seen("3", at(15), *THREE, host="a"), seen("3", at(15), ("3", at(15)), ("1", at(1)), host="b")]
    with pytest.raises(ReleaseMissing, match="the release 2 of web is missing on b"):
        ways.decide(hosts, {})


def test_a_release_that_nobody_has_is_said_with_those_there_are():
    with pytest.raises(ReleaseMissing) as raised:
        ways.decide([seen("3", at(15), *THREE)], {}, "9")
    assert "no release 9" in raised.value.problem
    assert "There are: 3, 2, 1" in raised.value.hint


def test_nothing_before_is_said():
    with pytest.raises(ReleaseMissing, match="no release of web is known to have served before 3"):
        ways.decide([seen("3", at(15), ("3", at(15)))], {})


def test_only_what_was_deployed_together_goes_back():
    places = [
        seen("3", at(15), *THREE, service="web"),
        seen("3", at(15), *THREE, service="api"),
        seen("9", at(2), ("9", at(2)), ("8", at(1)), service="db"),
    ]
    assert [way.to for way in ways.decide(places, {})] == ["2", "2", None]


def test_releases_that_expect_different_migrations_are_refused():
    records = {
        "web": [served("3", 15), served("2", 8, migration="a")],
        "api": [served("3", 15), served("2", 8, migration="b")],
    }
    places = [seen("3", at(15), *THREE, service="web"), seen("3", at(15), *THREE, service="api")]
    with pytest.raises(ConfigurationError, match="expect different revisions"):
        ways.migration(ways.decide(places, records))


def run(to: str, result: str | None, day: int = 16) -> Run:
    began = f"2026-11-{day:02}T10:00:00Z"
    facts = {"releases": {"web": {"from": "3", "to": to}}}
    return Run("id", "prod", "me", "1", None, "rollback", {}, None, began, result, facts=facts)


@pytest.mark.parametrize("result", [None, "failed", "interrupted"])
def test_a_rollback_that_was_not_finished_goes_on_to_where_it_was_going(result):
    records = {"web": [served("3", 15), served("2", 8, migration="m2"), served("1", 1)]}
    begun = ways.unfinished([run("2", result)], records)
    # Its link is at 2 already, one instance is not.
    (way,) = ways.decide([seen("2", at(16), *THREE)], records, begun=begun)
    assert (way.to, way.migration) == ("2", "m2")


def test_what_was_released_after_an_unfinished_rollback_counts():
    records = {"web": [served("4", 17), served("3", 15)]}
    assert ways.unfinished([run("2", "failed")], records) == {}
    assert ways.unfinished([run("2", "done"), run("2", "failed")], {}) == {}
    assert ways.unfinished([], {}) == {}


def test_a_canary_that_was_recorded_is_not_what_all_go_back_to():
    records = [served("3", 15), served("2", 8), served("1", 1)]
    hosts = [seen("3", at(15), *THREE, host="a"), seen("2", at(8), *THREE, host="b")]
    (way,) = ways.decide(hosts, {"web": records})
    assert way.to == "2"


def test_one_service_that_was_brought_back_alone_does_not_end_the_rollback_of_the_other():
    both = {"releases": {"web": {"from": "3", "to": "2"}, "api": {"from": "3", "to": "2"}}}
    alone = {"releases": {"api": {"from": "3, 2", "to": "2"}}}
    runs = [replace(run("2", "done", 17), facts=alone), replace(run("2", None, 16), facts=both)]
    assert ways.unfinished(runs, {"web": [served("3", 15)], "api": [served("2", 17, "rollback")]}) == {"web": "2"}


def test_a_restart_does_not_end_an_unfinished_rollback():
    records = {"web": [served("2", 17, "restart"), served("3", 15), served("2", 8)]}
    assert ways.unfinished([run("2", None)], records) == {"web": "2"}


def test_a_restart_after_a_rollback_is_still_rolled_back():
    records = [served("2", 17, "restart"), served("2", 16, "rollback"), served("3", 15), served("2", 8), served("1", 1)]
    (way,) = ways.decide([seen("2", at(17), *THREE)], {"web": records})
    assert way.to is None
    assert "rolled back to 2 already" in way.why


def test_what_was_rolled_back_from_is_left_out_when_the_platform_has_to_tell():
    records = [served("2", 16, "rollback"), served("3", 15)]
    platform = (("4", at(18)), ("3", at(15)), ("2", at(16)), ("1", at(1)))
    (way,) = ways.decide([seen("4", at(18), *platform)], {"web": records})
    assert way.to == "2"


ADDITIVE = {"id": "m2", "impact": "additive", "reasons": [], "has_down": True}
BREAKING = {"id": "m3", "impact": "breaking", "reasons": ["drops orders.note"], "has_down": True}
ONE_WAY = {"id": "m4", "impact": "unknown", "reasons": ["a DO block"], "has_down": False}


@pytest.mark.parametrize(
    ("asked", "undo", "becomes"),
    [
        ("auto", [], "keep"),
        ("auto", [ADDITIVE], "keep"),
        ("auto", [BREAKING, ADDITIVE], "m3 would break 2: drops orders.note"),
        ("auto", [ONE_WAY], "m4 would break 2: a DO block"),
        ("auto", None, "it is not known which migrations"),
        ("keep", [BREAKING], "keep"),
        ("keep", None, "keep"),
        ("revert", [BREAKING], "revert"),
        ("revert", [], "keep"),
        ("revert", [ONE_WAY], "m4 cannot be undone"),
        ("revert", None, "it is not known to which migration"),
        ("restore", None, "restore"),
        ("restore", [BREAKING], "restore"),
        ("nonsense", [], "database=nonsense is not known"),
    ],
)
def test_what_becomes_of_the_database_is_never_guessed(asked, undo, becomes):
    try:
        found = rollback.strategy(asked, "2", undo)
    except ConfigurationError as error:
        assert becomes in error.problem
        assert error.hint
    else:
        assert found == becomes
