"""What retention keeps, what it lets go, and what it never does."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ops import clock
from ops.environment import Retention
from ops.worker.catalogue import Backup, State
from ops.worker.retention import plan

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def backups(*ages_in_hours, state=State.PROVEN):
    return [
        Backup(clock.stamp(NOON - timedelta(hours=age)), state, problems=["it is broken"])
        for age in sorted(ages_in_hours)
    ]


def kept(found, **rules):
    return {
        verdict.id
        for verdict in plan(found, Retention(**{"newest": 1, "daily": 0, "weekly": 0, "monthly": 0, **rules}))
        if verdict.keep
    }


def test_the_newest_n_stay():
    found = backups(1, 2, 3, 4)
    assert kept(found, newest=2) == {found[0].id, found[1].id}


def test_a_period_keeps_the_newest_of_each_of_its_last_n():
    found = backups(1, 2, 25, 26, 49)
    assert kept(found, daily=2) == {found[0].id, found[2].id}


def test_periods_without_a_backup_do_not_count():
    found = backups(1, 24 * 40, 24 * 80)
    assert kept(found, monthly=3) == {backup.id for backup in found}


def test_hours_weeks_and_months():
    found = backups(0, 1, 24 * 8, 24 * 40)
    assert kept(found, hourly=2) == {found[0].id, found[1].id}
    assert kept(found, weekly=2) == {found[0].id, found[2].id}
    assert kept(found, monthly=2) == {found[0].id, found[3].id}


def test_the_newest_proven_backup_stays_whatever_the_rules_say():
    found = backups(1, 2, 3, state=State.UNPROVEN) + backups(500)
    assert kept(found) == {found[0].id, found[3].id}


def test_nothing_goes_while_no_backup_is_proven():
    found = backups(1, 2, 3, state=State.UNPROVEN)
    verdicts = plan(found, Retention(newest=1, daily=0, weekly=0, monthly=0))
    assert all(verdict.keep for verdict in verdicts)
    assert "no backup is proven" in verdicts[-1].why


def test_a_failed_backup_goes_once_a_newer_one_is_proven_and_takes_no_place():
    proven, older, newer = backups(2), backups(3, state=State.FAILED), backups(1, state=State.FAILED)
    found = newer + proven + older
    assert kept(found) == {newer[0].id, proven[0].id}


def test_a_damaged_one_is_left_for_a_person_to_look_at():
    found = backups(1) + backups(9000, state=State.DAMAGED)
    verdict = plan(found, Retention())[-1]
    assert verdict.keep
    assert "by hand" in verdict.why


def test_a_backup_that_a_drill_reads_stays():
    found = backups(1, 2)
    assert all(
        verdict.keep for verdict in plan(found, Retention(newest=1, daily=0, weekly=0, monthly=0), in_use=found[1].id)
    )


def test_every_verdict_gives_a_reason():
    assert all(verdict.why for verdict in plan(backups(*range(100)), Retention()))


ANY = st.lists(
    st.tuples(st.integers(0, 5000), st.sampled_from(list(State))), unique_by=lambda pair: pair[0], max_size=40
)


@given(ANY, st.integers(1, 4), st.integers(0, 4), st.integers(0, 4))
def test_whatever_there_is_the_newest_sound_and_the_newest_proven_stay(pairs, newest, daily, monthly):
    found = [backups(age, state=state)[0] for age, state in sorted(pairs)]
    staying = kept(found, newest=newest, daily=daily, monthly=monthly)
    for belongs in (lambda b: b.sound, lambda b: b.state is State.PROVEN):
        first = next((backup.id for backup in found if belongs(backup)), None)
        assert first is None or first in staying
    if not any(backup.state is State.PROVEN for backup in found):
        assert staying == {backup.id for backup in found}
