"""What a schedule may say, and what systemd and cron make of it."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops import R2, Environment, Http, Job, Postgres, Schedule, cron, secret, units
from ops.errors import ConfigurationError
from ops.secrets import named
from ops.site import Site

SHOP = "/srv/my shop 100%"
SITE = Site(
    "prod", "backup", SHOP, f"{SHOP}/python", "prod", "backup-1", ("A", "B"), ("/srv/my b%",), "shop", "/home/b"
)


def described(**more: object) -> Environment:
    store = R2(account="0" * 32, bucket="shop-backups", access_key=secret("KEY"), secret_key="in clear")
    return Environment(name="prod", database=Postgres(url=secret("URL")), store=store, **more)


def job(**more: object) -> Job:
    return Job(**{"name": "own", "deploy": "deploys/backup.py", "at": "02:30", **more})


def test_a_schedule_that_says_nothing_takes_backups_and_proves_them() -> None:
    assert [(one.name, one.deploy, one.limit) for one in Schedule().jobs] == [
        ("backup", "deploys/backup.py", "runner"),
        ("drill", "deploys/drill.py", "runner"),
    ]
    assert described().schedule is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"at": "02:30\nExecStart=evil"}, "it must be a time such as"),
        ({"deploy": "deploys/backup.py; evil.py"}, "it must be a file such as deploys/backup.py"),
        ({"timeout": "0s"}, "at least 1s"),
        ({"delay": "a while"}, "duration"),
        ({"nice": 20}, "19"),
        ({"data": {"a b": "x"}}, "data"),
        ({"every": "1d"}, "no field 'every'"),
    ],
)
def test_a_job_that_cannot_be_meant_is_one_line(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        job(**fields)


def test_jobs_are_told_apart() -> None:
    with pytest.raises(ConfigurationError, match="two jobs are called own"):
        Schedule(jobs=[job(), job()])


def test_times_are_utc_whether_it_is_said_or_not() -> None:
    assert job(at="02:30 UTC").calendar == job(at="02:30").calendar == "02:30 UTC"


def test_every_secret_is_found_by_its_name_and_none_that_stands_in_clear() -> None:
    here = described(
        checks=[Http(url="https://shop.example.com", headers={"Authorization": secret("TOKEN")})],
        schedule=Schedule(jobs=[job(ping=secret("PING"))]),
    )
    assert sorted(named(here)) == ["KEY", "PING", "TOKEN", "URL"]


def test_in_a_job_the_runner_is_the_machine_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    here = described()
    hosts = ("backup-1", ("app-1", {"ssh_port": 22}))
    assert here.group(*hosts)[0] == list(hosts)
    monkeypatch.setenv("OPS_HERE", "backup-1")
    assert here.group(*hosts)[0] == ["@local", ("app-1", {"ssh_port": 22})]
    monkeypatch.setenv("OPS_HERE", "app-1")
    assert here.group(*hosts)[0] == ["backup-1", ("@local", {"ssh_port": 22})]


def test_systemd_takes_the_units_for_what_they_are(tmp_path: Path) -> None:
    """Also where the project's directory has a blank and a per cent sign in it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze: apt install systemd")
    name = SITE.unit(job())
    project = tmp_path / "my shop 100%"
    project.mkdir()
    (project / "python").write_text("#!/bin/sh\n")
    (project / "python").chmod(0o755)
    site = Site(
        "prod", "root", str(project), str(project / "python"), "prod", None, ("A",), ("/srv/my b%",), "shop", "/root"
    )
    texts = {".service": units.service(site, job()), ".ended.service": units.ended(site, job())}
    for kind, text in {**texts, ".timer": units.timer(site, job())}.items():
        (tmp_path / f"{name}{kind}").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / f"{name}.timer"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_a_unit_holds_no_more_than_it_must() -> None:
    text = units.service(SITE, job())
    assert "CapabilityBoundingSet=\n" in text
    assert "LoadCredential=A:/etc/pyinfra-ops/prod/A\nLoadCredential=B:/etc/pyinfra-ops/prod/B\n" in text
    assert "SetCredential=A:\\n\nSetCredential=B:\\n\n" in text
    assert 'ReadWritePaths="-/srv/my b%%"\nReadWritePaths="-/home/b/.local/state/pyinfra-ops"\n' in text
    assert 'Environment="OPS_HERE=backup-1"\n' in text
    assert "WorkingDirectory=/srv/my shop 100%%\n" in text
    assert '"/srv/my shop 100%%/python" "-m" "ops.job" "prod" "own"\n' in text
    assert "TimeoutStartSec=7320\n" in text, "two hours, and two minutes to tell of it"
    assert "OnCalendar=02:30 UTC\nPersistent=true\nRandomizedDelaySec=600\n" in units.timer(SITE, job())


@pytest.mark.parametrize(
    ("calendar", "fields"),
    [
        ("*-*-* 02:30:00 UTC", "30 2 * * *"),
        ("02:30", "30 2 * * *"),
        ("Sun *-*-* 04:30", "30 4 * * 7"),
        ("Mon..Fri 03:00", "0 3 * * 1-5"),
        ("Mon,Sat..Sun 03:00", "0 3 * * 1,6-7"),
        ("*-*-01,15 00/6:15:00", "15 0-23/6 1,15 * *"),
        ("*:0/15", "0-59/15 * * * *"),
        ("*-*-* 8..18/2:00", "0 8-18/2 * * *"),
        ("weekly", "0 0 * * 1"),
        ("quarterly UTC", "0 0 1 1,4,7,10 *"),
    ],
)
def test_cron_means_what_systemd_means(calendar: str, fields: str) -> None:
    assert cron.when(calendar) == fields
    if shutil.which("systemd-analyze"):
        assert elapses(calendar) == due(fields, 3)


def elapses(calendar: str) -> list[datetime]:
    """The next three times, as systemd has them."""
    zoned = calendar if calendar.endswith("UTC") else f"{calendar} UTC"
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--base-time=2026-11-27 12:00:30 UTC", "--iterations=3", zoned],
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.strip() for line in done.stdout.splitlines()]
    times = [line.partition(": ")[2] for line in lines if line.startswith(("Next elapse", "Iter."))]
    return [datetime.strptime(time.strip(), "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC) for time in times]


def due(fields: str, count: int) -> list[datetime]:
    """The next times, as cron has them."""
    minute, hour, day, month, weekday = map(numbers, fields.split())
    time, found = datetime(2026, 11, 27, 12, 1, tzinfo=UTC), []
    while len(found) < count:
        if not (time.month in month and time.day in day and time.isoweekday() in weekday):
            time = (time + timedelta(days=1)).replace(hour=0, minute=0)
            continue
        if time.hour in hour and time.minute in minute:
            found.append(time)
        time += timedelta(minutes=1)
    return found


def numbers(field: str) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0", "-", "59") if span == "*" else span.partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


@pytest.mark.parametrize(
    "calendar",
    [
        "nightly",
        "*-*-* 25:00",
        "2026-*-* 01:00",
        "Sun *-*-01 04:00",
        "*-*~1 01:00",
        "02:30:30",
        "Foo 02:30",
        "Sat..Mon 3:00",
    ],
)
def test_what_cron_cannot_say_is_refused(calendar: str) -> None:
    with pytest.raises(ConfigurationError, match="cron cannot run a job at"):
        cron.when(calendar)


def test_a_crontab_has_no_secret_and_no_bare_per_cent_sign() -> None:
    text = cron.crontab(SITE, [job(io="idle")])
    assert 'CREDENTIALS_DIRECTORY="/etc/pyinfra-ops/prod"\nSTATE_DIRECTORY="/var/lib/pyinfra-ops/prod"\n' in text
    line = text.splitlines()[-1].replace(SHOP.replace("%", "\\%"), "SHOP")
    assert line.startswith("30 2 * * * backup cd 'SHOP' && sleep $(shuf -i 0-600 -n 1); flock --nonblock --no-fork ")
    assert " nice -n 10 ionice -c 3 timeout --kill-after=60 7320 'SHOP/python' -m ops.job prod own 2>&1" in line
    assert line.endswith(" | logger -t pyinfra-ops-prod.own")
