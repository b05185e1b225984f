"""A sealed document is either just what was written, or damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.errors import BackupDamaged
from ops.worker.manifest import Manifest, Sequence, Verification, seal, unseal

WRITTEN = Verification(
    id="2026-11-21T10-00-00Z",
    outcome="pass",
    kind="drill",
    finished="2026-11-21T10:05:00Z",
    seconds={"restore": 1.5},
    findings=["größer als 日本"],
    sha256="0" * 64,
)


def test_what_was_sealed_is_read_back():
    assert unseal(Verification, seal(WRITTEN), "v") == WRITTEN


def test_every_single_flipped_bit_shows():
    raw = seal(WRITTEN)
    for place in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[place] ^= 1 << bit
            with pytest.raises(BackupDamaged, match="damaged"):
                unseal(Verification, bytes(flipped), "v")


def test_every_truncation_shows():
    raw = seal(WRITTEN)
    for length in range(len(raw)):
        with pytest.raises(BackupDamaged):
            unseal(Verification, raw[:length], "v")


@given(st.binary(max_size=200))
def test_garbage_is_damaged_and_nothing_else(raw):
    with pytest.raises(BackupDamaged):
        unseal(Manifest, raw, "m")


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"x"', b"{}", b'{"seal": "x"}', b"", b"\xff", b"[" * 100_000])
def test_json_of_another_shape_is_damaged(raw):
    with pytest.raises(BackupDamaged):
        unseal(Manifest, raw, "m")


def test_a_document_of_another_kind_is_damaged():
    with pytest.raises(BackupDamaged):
        unseal(Manifest, seal(WRITTEN), "m")


@pytest.mark.parametrize(
    ("before", "after", "restored", "admitted"),
    [
        (5, 5, 5, True),
        (5, 5, 6, False),
        (5, 9, 7, True),
        (5, 9, 10, False),
        (9, 5, 7, True),
        (None, None, None, True),
        (None, None, 1, False),
        (None, 3, None, True),
        (None, 3, 2, True),
        (5, 9, None, False),
    ],
)
def test_a_sequence_may_stand_only_where_it_can_have_stood(before, after, restored, admitted):
    assert Sequence(before=before, after=after).admits(restored) is admitted
