"""How many lines of a log on a host match a pattern."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from disguise import Disguise, Heard, busybox, shell, with_programs

from ops.checks import Log, Outcome, Result
from ops.errors import ConfigurationError
from ops.probes import ask

_now: list[datetime] = []
# Two awks behave alike, and BusyBox has its own of everything.
SHELLS = ["debian", "busybox"]
BERLIN = "TZ=Europe/Berlin; export TZ"


TOKYO = "TZ=Asia/Tokyo; export TZ"


def local(time: datetime) -> datetime:
    """In Tokyo, where there is no summer time."""
    return time + timedelta(hours=9)


FORMATS: dict[str, Callable[[datetime], str]] = {
    "ISO": lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ} ",
    "with parts of a second": lambda time: f"{time:%Y-%m-%dT%H:%M:%S}.123456+00:00 ",
    "in another zone": lambda time: f"{time - timedelta(hours=3, minutes=30):%Y-%m-%dT%H:%M:%S}-0330 ",
    "in brackets": lambda time: f"[{time:%Y-%m-%d %H:%M:%S} UTC] ",
    "of Python's logging": lambda time: f"{local(time):%Y-%m-%d %H:%M:%S},123 - INFO - ",
    "of Postgres": lambda time: f"{time:%Y-%m-%d %H:%M:%S}.123 UTC [4711] LOG:  ",
    "of nginx's error log": lambda time: f"{local(time):%Y/%m/%d %H:%M:%S} [error] 12#12: *1 ",
    "of a web server": lambda time: f"203.0.113.7 - - [{time:%d/%b/%Y:%H:%M:%S} +0000] ",
    "of syslog": lambda time: f"{local(time):%b} {local(time).day:2} {local(time):%H:%M:%S} host app[12]: ",
    "of pm2": lambda time: f"{local(time):%Y-%m-%dT%H:%M:%S}: ",
    "of pm2 without seconds": lambda time: f"{time:%Y-%m-%d %H:%M} +00:00: ",
    "of pino": lambda time: f'{{"level":30,"time":{int(time.timestamp() * 1000)},"msg":"',
    "of structlog": lambda time: f'{{"event": "x", "timestamp": "{time:%Y-%m-%dT%H:%M:%S}.000001Z", "msg":"',
    "in colour": lambda time: f"\033[32m{time:%Y-%m-%dT%H:%M:%SZ}\033[39m ",
}


@pytest.fixture(autouse=True)
def now() -> None:
    """The same for all of a test, which may begin long after this file was read."""
    _now[:] = [datetime.now(UTC).replace(microsecond=0)]


def ago(minutes: float) -> datetime:
    """A time."""
    return _now[0] - timedelta(minutes=minutes)


def stamped(time: datetime, line: str) -> str:
    """A line with its time, in ISO 8601."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ} {line}\n"


def counted(at: Disguise, file: Path, pattern: str = "ERROR", **fields: Any) -> Result:
    """The one result of a check."""
    (one,) = ask(Log(hosts="app", file=str(file), pattern=pattern, **fields), at)
    return one


@pytest.mark.parametrize("kind", SHELLS)
@pytest.mark.parametrize("format", FORMATS)
def test_lines_count_from_a_time_on_whatever_they_begin_with(format: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a log"
    lines = [f"{FORMATS[format](ago(minutes))}{'ERROR' if minutes % 10 == 0 else 'fine'} {minutes}" for minutes in
             range(200, 0, -5)]  # fmt: skip
    file.write_text("\n".join(lines) + "\n")
    at = shell(kind, tmp_path)
    at.before += f"\n{TOKYO}"
    one = counted(at, file, "ERROR [0-9]+$", since="61m")
    assert one.outcome is Outcome.FAIL
    last = ago(10) if "without seconds" not in format else ago(10).replace(second=0)
    shown = f"{last:%H:%M:%SZ}" if last.date() == datetime.now(UTC).date() else f"{last:%Y-%m-%d %H:%M:%SZ}"
    assert one.value == f"6 lines, the last at {shown}"
    assert one.limit == "≤ 0 in 61m"
    assert one.hint == f"On the host: tail -n 10000 '{file}' | grep -E -e 'ERROR [0-9]+$'"
    assert counted(at, file, "ERROR [0-9]+$", since="61m", at_most=6).outcome is Outcome.PASS
    assert counted(at, file, "ERROR 200", since="61m") == Result(Outcome.PASS, "0 lines", "≤ 0 in 61m")


@pytest.mark.parametrize("awk", ["mawk", "gawk"])
def test_whatever_awk_a_host_has_counts_alike(awk: str, tmp_path: Path) -> None:
    program = shutil.which(awk)
    if program is None:
        pytest.skip(f"needs {awk}: apt install {awk}")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "awk").symlink_to(program)
    at = Disguise(f'PATH={tmp_path}/bin:"$PATH"; export PATH; {TOKYO}')
    for format in FORMATS.values():
        (tmp_path / "log").write_text("".join(f"{format(ago(minutes))}ERROR\n" for minutes in (200, 3, 2)))
        assert counted(at, tmp_path / "log").value.startswith("2 lines"), format(_now[0])


@pytest.mark.parametrize("kind", SHELLS)
def test_a_line_without_a_time_belongs_to_the_one_before(kind: str, tmp_path: Path) -> None:
    trace = "Traceback\n  ERROR one\n  ERROR on 2020-01-01 00:00:00\n"
    (tmp_path / "log").write_text(
        f"  ERROR of before\n{stamped(ago(90), 'old')}{trace}{stamped(ago(2), 'new')}{trace}{stamped(ago(1), 'fine')}"
    )
    one = counted(shell(kind, tmp_path), tmp_path / "log")
    assert one.value.startswith("2 lines, the last at ")
    assert f"{ago(2):%H:%M:%SZ}" in one.value


def test_in_winter_a_time_without_a_zone_is_the_winters(tmp_path: Path) -> None:
    """The offset is that of then: a file that was last written in the other half of the year is of no matter."""
    time = datetime.now().astimezone()
    zone = subprocess.run(["sh", "-c", f"{BERLIN}; date +%z"], capture_output=True, text=True).stdout.strip()
    hours = int(zone[1:3])
    (tmp_path / "log").write_text(
        "".join(
            f"{time.astimezone(UTC) + timedelta(hours=hours, minutes=minutes):%Y-%m-%d %H:%M:%S} ERROR\n"
            for minutes in (-70, -50, -1)
        )
    )
    assert counted(Disguise(BERLIN), tmp_path / "log").value.startswith("2 lines")


@pytest.mark.parametrize("kind", SHELLS)
def test_what_was_rotated_away_counts_too(kind: str, tmp_path: Path) -> None:
    for name, minutes in (("log.2.gz", 50), ("log.1", 40), ("log-20261121", 30), ("log.2026-11-21", 20), ("log", 10)):
        text = stamped(ago(1000), "ERROR") + stamped(ago(minutes), "ERROR")
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    (tmp_path / "log.3").write_text(stamped(ago(1), "ERROR of a file that was last written long ago"))
    os.utime(tmp_path / "log.3", times=(0, 0))
    (tmp_path / "log.err").write_text(stamped(ago(1), "ERROR of another log"))
    at = shell(kind, tmp_path)
    one = counted(at, tmp_path / "log")
    assert one.value.startswith("5 lines") and f"{ago(10):%H:%M:%SZ}" in one.value
    assert counted(at, tmp_path / "log", since="25m").value.startswith("2 lines")
    (tmp_path / "log").unlink()
    assert counted(at, tmp_path / "log").value.startswith("4 lines"), "between its rotation and the next line"


@pytest.mark.parametrize("kind", SHELLS)
def test_an_empty_log_passes_and_so_does_an_old_one_without_times(kind: str, tmp_path: Path) -> None:
    at = shell(kind, tmp_path)
    (tmp_path / "empty").touch()
    assert counted(at, tmp_path / "empty") == Result(Outcome.PASS, "0 lines", "≤ 0 in 1h")
    (tmp_path / "old").write_text("ERROR\n")
    os.utime(tmp_path / "old", times=(0, time.time() - 4000))
    assert counted(at, tmp_path / "old").outcome is Outcome.PASS
    assert counted(at, tmp_path / "old", since="2h").outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("kind", SHELLS)
def test_a_log_without_times_is_unknown(kind: str, tmp_path: Path) -> None:
    at = shell(kind, tmp_path)
    for text in (
        "ERROR\n",
        "ERROR\n" * 5000,
        "\0\0\n",
        "12:00:00 ERROR\n",
        "2026-11-27 ERROR\n",
        "Foo 11 10:00:00 E\n",
    ):
        (tmp_path / "log").write_text(text)
        one = counted(at, tmp_path / "log")
        assert one.outcome is Outcome.UNKNOWN
        assert one.value == f"no line of {tmp_path}/log has a time that could be read"


@pytest.mark.parametrize("kind", SHELLS)
def test_a_log_that_is_not_there_or_cannot_be_read_is_unknown(kind: str, tmp_path: Path) -> None:
    at = shell(kind, tmp_path)
    assert counted(at, tmp_path / "log").value == f"there is no {tmp_path}/log"
    assert counted(at, tmp_path / "log").outcome is Outcome.UNKNOWN
    one = counted(at, tmp_path)
    assert (one.outcome, one.value) == (Outcome.UNKNOWN, f"{tmp_path} cannot be read")


def test_one_that_its_owner_alone_may_read_is_unknown_to_others(open_directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    (open_directory / "log").write_text(stamped(ago(1), "ERROR"))
    (open_directory / "log").chmod(0o600)
    somebody = Disguise(words=("setpriv", "--reuid=65534", "--clear-groups"))
    assert counted(somebody, open_directory / "log").value == f"{open_directory}/log cannot be read"
    (open_directory / "log").chmod(0o644)
    assert counted(somebody, open_directory / "log").outcome is Outcome.FAIL


@pytest.mark.parametrize("kind", SHELLS)
@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("-e", 1),
        ("--help", 1),
        ("it's", 1),
        ('"quoted"', 1),
        ("$(touch hacked)|`touch hacked`", 0),
        ("price [$]5", 1),
        ("a{3}", 1),
        ("(one|two) [[:digit:]]+", 2),
        ("TIMEOUT", 0),
        (r"back\\slash", 1),
        ("ü", 1),
        ("^20[0-9-]+T.* two 2$", 1),
    ],
)
def test_a_pattern_is_taken_as_it_is_written(pattern: str, count: int, kind: str, tmp_path: Path) -> None:
    lines = ["-e --help", "it's", '"quoted"', "price $5", "aaa", "one 1", "two 2", "timeout", r"back\slash", "grün"]
    (tmp_path / "log").write_text("".join(stamped(ago(1), line) for line in lines))
    one = counted(shell(kind, tmp_path), tmp_path / "log", pattern, at_most=100)
    assert one.value.split(" ")[0] == str(count)
    assert not (tmp_path / "hacked").exists() and not Path("hacked").exists()


@pytest.mark.parametrize("kind", SHELLS)
def test_a_pattern_that_grep_refuses_is_unknown_in_its_words(kind: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(stamped(ago(1), "ERROR"))
    one = counted(shell(kind, tmp_path), tmp_path / "log", "(open")
    assert one.outcome is Outcome.UNKNOWN
    assert one.value.startswith("grep refuses the pattern: ") and "(" in one.value


def test_no_line_leaves_the_host(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(stamped(ago(1), "ERROR token=s3cret") + "s3cret\n" + stamped(ago(1), "s3cret"))
    heard = Heard()
    for pattern in ("ERROR", "nothing", "(open"):
        counted(heard, tmp_path / "log", pattern)
    assert "count 1" in heard.said and "s3cret" not in heard.said


@pytest.mark.parametrize("kind", SHELLS)
def test_of_a_large_log_only_the_end_is_read(kind: str, tmp_path: Path) -> None:
    text = "x" * 180
    with (tmp_path / "log").open("w") as log:
        log.writelines(stamped(_now[0] - timedelta(seconds=n), f"ERROR {n} {text}") for n in range(100_000, 0, -1))
    at = Heard(shell(kind, tmp_path).before)
    for since, count in (("30m", 1800), ("10h", 36_000), ("3d", 100_000)):
        one = counted(at, tmp_path / "log", since=since)
        assert int(one.value.split()[0].replace(",", "")) == pytest.approx(count, abs=120)


def test_hosts_without_awk_or_grep_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(stamped(ago(1), "ERROR"))
    for number, lacking in enumerate(("awk", "grep", "date", "tr")):
        at = busybox(tmp_path / str(number))
        (tmp_path / str(number) / lacking).unlink()
        # BusyBox's shell runs its own programs by their names alone.
        at = Disguise(at.before)
        assert counted(at, tmp_path / "log").outcome is Outcome.UNKNOWN, lacking


def test_a_host_without_a_journal_is_unknown(tmp_path: Path) -> None:
    (one,) = ask(Log(hosts="app", unit="api", pattern="ERROR"), busybox(tmp_path / "bin"))
    assert (one.outcome, one.value) == (Outcome.UNKNOWN, "there is no journalctl")


def test_a_journal_that_keeps_nothing_is_unknown(tmp_path: Path) -> None:
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        pytest.skip("needs journalctl: apt install systemd")
    (tmp_path / "journal").mkdir()
    programs = {"journalctl": f'exec {journalctl} -D {tmp_path}/journal "$@"', "systemctl": "echo LoadState=loaded"}
    at = with_programs(tmp_path / "bin", **programs)
    (one,) = ask(Log(hosts="app", unit="api", pattern="ERROR"), at)
    assert (one.outcome, one.value) == (Outcome.UNKNOWN, "the journal has no line at all")


def test_one_source_is_needed_and_no_more() -> None:
    for fields in ({}, {"file": "/a", "unit": "b"}, {"unit": "a", "process": "b"}):
        with pytest.raises(ConfigurationError, match="write one of unit=…, file=… and process=…"):
            Log(hosts="app", pattern="x", **fields)
