"""What a host has left, and how its clock goes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from disguise import Disguise, mounted, shell, with_programs

from ops.checks import Host, Outcome, Result
from ops.platforms.shell import Ran
from ops.probes import ask

NOTHING: dict[str, Any] = {"disk": None, "memory": None, "load": None, "clock": None}
ROOMY: dict[str, Any] = {"disk": 1, "memory": 1, "load": 1000}


def looked(at: Disguise, **limits: Any) -> list[Result]:
    """What comes of a check with these limits, and no others."""
    return ask(Host(hosts="app", **{**NOTHING, **limits}), at)


@pytest.mark.parametrize("kind", ["debian", "busybox"])
def test_a_host_within_its_limits_passes_in_four_rows(kind: str, tmp_path: Path) -> None:
    results = ask(Host(hosts="app", **ROOMY), shell(kind, tmp_path))
    assert [one.what for one in results] == ["disk", "memory", "load", "clock"]
    assert {one.outcome for one in results} == {Outcome.PASS}, results
    disk, memory, load, clock = results
    assert "% full, " in disk.value or "% of the inodes used" in disk.value
    assert "% used, " in memory.value and memory.limit == "≤ 100 %"
    assert "processor" in load.value and load.limit == "≤ 1,000"
    assert "ours, give or take" in clock.value and clock.limit == "≤ 5 s"


def test_what_has_no_limit_is_not_looked_at() -> None:
    assert [one.what for one in looked(Disguise(), memory=1)] == ["memory"]


@pytest.mark.parametrize("kind", ["debian", "busybox"])
def test_a_full_disk_is_named_with_its_space_and_all(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "full disk"
    place.mkdir()
    at = mounted(f"mount -t tmpfs -o size=1m small '{place}'; head -c 2M /dev/zero > '{place}/big' || true")
    at.before += f"\n{shell(kind, tmp_path).before}"
    named = looked(at, disk=0.9, mounts=(str(place),))
    found = [one for one in looked(at, disk=0.97) if str(place) in one.value]
    for results in (named, found):
        (one,) = results
        assert one.outcome is Outcome.FAIL and one.what == "disk"
        assert one.value == f"{place}: 100 % full, 0 MB left"
        assert one.hint == f"On the host: du -xh '{place}' | sort -h | tail"
    assert named[0].limit == "≤ 90 %"


def test_a_disk_without_inodes_fails_although_it_has_room(tmp_path: Path) -> None:
    at = mounted(
        f"mount -t tmpfs -o size=1m,nr_inodes=20 small {tmp_path}; for n in $(seq 19); do : > {tmp_path}/$n; done"
    )
    (one,) = looked(at, disk=0.9, mounts=(str(tmp_path),))
    assert one.outcome is Outcome.FAIL
    assert one.value == f"{tmp_path}: 100 % of the inodes used"
    assert "du -x --inodes" in one.hint


def test_of_disks_that_have_room_the_fullest_is_shown(tmp_path: Path) -> None:
    mounts = [
        f"mkdir -p {tmp_path}/{name}; mount -t tmpfs -o size=1m small {tmp_path}/{name}; "
        f"head -c {size} /dev/zero > {tmp_path}/{name}/big"
        for name, size in (("one", 100_000), ("two", 600_000), ("three", 300_000))
    ]
    at = mounted("\n".join(mounts))
    (one,) = looked(at, disk=0.9, mounts=tuple(f"{tmp_path}/{name}" for name in ("one", "two", "three")))
    assert one.outcome is Outcome.PASS
    assert one.value.startswith(f"{tmp_path}/two: 57.4 % full")
    assert one.hint == ""


def test_one_that_is_not_mounted_fails(tmp_path: Path) -> None:
    (one,) = looked(Disguise(), disk=0.9, mounts=(f"{tmp_path}/",))
    assert one.outcome is Outcome.FAIL
    assert one.value == f"nothing is mounted at {tmp_path}"


def test_a_disk_that_turned_read_only_fails_unless_it_is_to_be(tmp_path: Path) -> None:
    place = tmp_path / "a b"
    place.mkdir()
    fstab = tmp_path / "fstab"
    read_only = f"mount -t tmpfs -o ro,size=1m small '{place}'; mount --bind {fstab} /etc/fstab"
    escaped = str(place).replace(" ", r"\040")
    for options, bad in (("defaults", True), ("defaults,ro", False)):
        fstab.write_text(f"# a remark\n/dev/other /other ext4 defaults 0 1\n/dev/x {escaped} ext4 {options} 0 2\n")
        results = [one for one in looked(mounted(read_only), disk=1) if one.outcome is not Outcome.PASS]
        assert [one.value for one in results] == (
            [f"{place} can only be read, but /etc/fstab mounts it for writing"] if bad else []
        )
    (named,) = looked(mounted(read_only), disk=0.9, mounts=(str(place),))
    assert named.outcome is Outcome.PASS, "what is meant to be read only may be so"


def test_a_disk_that_is_mounted_at_many_places_is_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    at = mounted(f"mount --bind / {tmp_path}/one; mount --bind / {tmp_path}/two")
    values = [one.value for one in looked(at, disk=1e-9)]
    assert len([one for one in values if one.startswith("/: ")]) == 1
    assert not [one for one in values if str(tmp_path) in one]


def test_what_the_kernel_does_not_tell_is_unknown() -> None:
    results = looked(mounted("mount -t tmpfs none /proc"), disk=1, memory=1, load=1000, clock=5)
    assert [(one.what, one.outcome.value) for one in results] == [
        ("disk", "unknown"),
        ("memory", "unknown"),
        ("load", "unknown"),
        ("clock", "pass"),
    ]


def test_memory_that_is_used_up_fails(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8000000 kB\nMemFree:  100 kB\nMemAvailable:  400000 kB\n")
    at = mounted(f"mount --bind {tmp_path}/meminfo /proc/meminfo")
    (one,) = looked(at, memory=0.9)
    assert one == Result(
        Outcome.FAIL,
        "95 % used, 410 MB left",
        "≤ 90 %",
        "On the host: ps -eo rss,pid,args --sort=-rss | head",
        "memory",
    )
    (one,) = looked(at, memory=0.96)
    assert one.outcome is Outcome.PASS


def test_a_load_counts_for_each_processor(tmp_path: Path) -> None:
    (tmp_path / "loadavg").write_text("0.10 9.00 3.00 1/88 999\n")
    programs = with_programs(tmp_path / "bin", getconf="echo 3")
    at = mounted(f"mount --bind {tmp_path}/loadavg /proc/loadavg\n{programs.before}")
    (one,) = looked(at, load=2)
    assert one.outcome is Outcome.FAIL
    assert one.value == "3 for each of 3 processors"
    assert looked(at, load=3)[0].outcome is Outcome.PASS


@pytest.mark.parametrize(("shift", "words"), [(100, " s ahead of ours"), (-7, " s behind ours")])
def test_a_clock_that_is_wrong_fails(shift: int, words: str, tmp_path: Path) -> None:
    (one,) = looked(with_programs(tmp_path, date=shifted(shift)), clock=5)
    assert one.outcome is Outcome.FAIL
    assert words in one.value
    assert float(one.value.split()[0]) == pytest.approx(abs(shift), abs=1)
    assert "timedatectl" in one.hint
    assert looked(with_programs(tmp_path, date=shifted(shift)), clock=1000)[0].outcome is Outcome.PASS


def test_a_date_that_knows_whole_seconds_only_will_do(tmp_path: Path) -> None:
    (one,) = looked(with_programs(tmp_path, date=f"exec {shutil.which('date')} +%s"), clock=5)
    assert one.outcome is Outcome.PASS
    assert float(one.value.rpartition("take ")[2].split()[0]) >= 0.5
    (one,) = looked(with_programs(tmp_path, date=f"exec {shutil.which('date')} +%s"), clock=0.3)
    assert one.outcome is not Outcome.PASS


def test_an_answer_that_took_longer_than_the_limit_cannot_tell() -> None:
    (one,) = looked(Late(), clock=0.5)
    assert one.outcome is Outcome.UNKNOWN
    assert one.value.endswith("the answer took too long to tell")
    assert looked(Late(), clock=5)[0].outcome is Outcome.PASS


def test_a_script_that_takes_long_itself_makes_the_clock_no_less_certain(tmp_path: Path) -> None:
    (one,) = looked(with_programs(tmp_path, sed="sleep 1.5"), memory=1, clock=0.5)[1:]
    assert one.outcome is Outcome.PASS, one


def test_a_host_without_a_date_is_unknown(tmp_path: Path) -> None:
    (one,) = looked(with_programs(tmp_path, date="exit 1"), clock=5)
    assert one.outcome is Outcome.UNKNOWN


class Late(Disguise):
    """Answers after more than a second, on its way there and back."""

    def run(self, script: str, timeout: float = 60) -> Ran:
        time.sleep(0.6)
        ran = super().run(script, timeout)
        time.sleep(0.6)
        return ran


def shifted(seconds: int) -> str:
    """A ``date`` that is wrong."""
    date = shutil.which("date")
    return f'exec {date} -d "{seconds} seconds" "$@"'
