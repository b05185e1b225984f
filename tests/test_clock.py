"""Times and durations as operators write and read them."""

import pytest

from ops import clock
from ops.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("20h", 72000), ("7d", 604800), ("2w", 1209600), (0, 0), ("1.5h", 5400)],
)
def test_durations(text, seconds):
    assert clock.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1h", "1y", "h", "7", 7])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ConfigurationError, match="is no duration"):
        clock.duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5s"), (65, "1m 5s"), (3600, "1h"), (90000, "1d 1h"), (7199, "1h 59m")]
)
def test_ages_for_people(seconds, text):
    assert clock.age(seconds) == text


def test_a_stamp_is_read_back():
    now = clock.now()
    assert clock.parse(clock.stamp(now)) == now
    assert clock.parse_iso(clock.iso(now)) == now
    assert clock.is_stamp(clock.stamp(now))
    assert not clock.is_stamp("2026-02-30T00-00-00Z")
    assert not clock.is_stamp(clock.stamp(now) + "\n")


def test_what_is_from_the_future_is_never_within():
    assert clock.within(10, 60)
    assert clock.within(-10, 60)
    assert not clock.within(60, 60)
    assert not clock.within(-3600, 60)
