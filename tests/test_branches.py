from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ops import branches
from ops.branches import BACKUP, REHEARSAL, RESTORE_POINT, Made
from ops.clouds.neon_resources import Branch

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WEEK = 7 * 86400


def branch(name: str, expires: datetime | None = None) -> Branch:
    return Branch("br-1", name, None, False, False, NOON, expires, "ready")


@pytest.mark.parametrize("environment", ["prod", "eu-prod", "restore-point"])
def test_a_name_says_what_for_and_when(environment: str) -> None:
    for purpose in branches.PURPOSES:
        made = Made(purpose, environment, NOON)
        assert branches.made(str(made)) == made


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "ops-restore-point-prod",
        "ops-restore-point-2026-11-21T12-00-00Z",
        "ops-preview-prod-2026-11-21T12-00-00Z",
        "ops-rehearsal-prod-2026-13-21T12-00-00Z",
        "my-ops-rehearsal-prod-2026-11-21T12-00-00Z",
    ],
)
def test_a_name_that_is_not_ours_says_nothing(name: str) -> None:
    assert branches.made(name) is None
    assert not branches.past(branch(name), 0, NOON + timedelta(days=1000))


@pytest.mark.parametrize(
    ("purpose", "age", "expires", "past"),
    [
        (RESTORE_POINT, timedelta(days=6), None, False),
        (RESTORE_POINT, timedelta(days=8), None, True),
        (RESTORE_POINT, timedelta(days=8), timedelta(days=9), False),
        (REHEARSAL, timedelta(hours=1), None, False),
        (REHEARSAL, timedelta(hours=3), None, True),
        (BACKUP, timedelta(days=900), None, False),
        (BACKUP, timedelta(days=8), timedelta(days=7), True),
    ],
)
def test_what_is_past_its_rule(purpose: str, age: timedelta, expires: timedelta | None, past: bool) -> None:
    one = branch(str(Made(purpose, "prod", NOON)), expires and NOON + expires)
    assert branches.past(one, WEEK, NOON + age) is past


def test_what_a_branch_had_before_it_was_restored_is_told_by_its_name() -> None:
    name = branches.kept_name("main", "2026-11-21T12-00-00Z")
    assert branches.kept(name) == branches.kept(name, "main") == branches.content(branch(name)) == NOON
    assert branches.kept(name, "mai") is None
    assert branches.kept("-before-2026-11-21T12-00-00Z") is None
