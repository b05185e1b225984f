"""The schedule on a real machine with systemd, and with cron."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import hooks
import psycopg
import pytest
from machines import NETWORK, CannotBuild, Lot, Machine, lacking, machines
from psycopg import sql
from pyinfra_command import PYINFRA
from servers import FAST, running

from ops.environment import root
from ops.sandbox import shop as shops
from ops.sandbox.postgres import PostgresServer

pytestmark = pytest.mark.slow

PROJECT, PYTHON, PLACE = "/srv/ops", "/srv/venv/bin/python", "/srv/test"
OWN = f'from pyinfra.operations import server\nserver.shell(name="Do it", commands=["sh {PLACE}/script"])\n'
INVENTORY = """
from ops import Directory, Environment, Job, Postgres, Schedule, secret
environment = Environment(
    name={name!r},
    database=Postgres(host="/srv/postgres", port={port}, database={database!r}, user={user!r},
                      password=secret("SHOP_PASSWORD")),
    store=Directory(path="/srv/backups-{name}"),
    notify=[secret("HOOK")],
    schedule=Schedule(writes=["{place}/out"], jobs=[{jobs}], {more}),
)
runner = environment.group({runner!r})
"""

THERE = f"""#!/bin/sh
case "$*" in "-m venv "*) ;; *) exec {PYTHON} "$@";; esac
{PYTHON} -m venv --without-pip "$3"
ls -d /srv/venv/lib/python*/site-packages > "$(ls -d "$3"/lib/python*/site-packages)/there.pth"
"""


class Site:
    """A machine on which the project lies, with a database and a server of hooks that it reaches.

    Args:
        lot: of the machine.
        machine: the machine.
        shop: the database.
        hooks: what was posted to the server.
    """

    def __init__(self, lot: Lot, shop: shops.Shop, hooks: hooks.Hooks) -> None:
        self.lot = lot
        self.machine: Machine = lot.machines[0]
        self.shop = shop
        self.hooks = hooks

    def must(self, script: str) -> str:
        """Run a script there, which must succeed."""
        done = self.machine.run(script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, unit: str) -> None:
        """Start a job, which must succeed."""
        done = self.machine.run(f"systemctl start {unit}.service || journalctl --no-pager -o cat -u {unit} | grep .")
        assert not done.stdout, done.stdout

    def until(self, condition: Callable[[], object], within: float = 60) -> None:
        """Wait until something has come true."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, self.machine.run("journalctl -n 60 --no-pager").stdout
            time.sleep(0.1)

    def script(self, text: str) -> None:
        """What the deploy of the tests does from now on."""
        self.must(f"printf %s {quote(text)} > {PLACE}/script")

    def describe(self, name: str, *jobs: str, runner: object = "@local", more: str = 'metrics="/srv/metrics"') -> str:
        """Write an inventory; its text."""
        text = INVENTORY.format(
            name=name, port=self.shop.server.port, database=self.shop.name, user=self.shop.user, place=PLACE,
            jobs=", ".join(jobs), runner=runner, more=more,
        )  # fmt: skip
        self.write(name, text)
        return text

    def write(self, name: str, text: str) -> None:
        """Write an inventory as it is given."""
        self.must(f"printf %s {quote(text)} > {PLACE}/{name}.py")

    def secrets(self, name: str) -> dict[str, str]:
        """What is set where pyinfra is typed."""
        return {
            "SHOP_PASSWORD": self.shop.password,
            "HOOK": f"json://{self.hooks.address}/{name}/hook-token-81",
            "SALT": "a salt of the tests 81",
            "PING": f"http://{self.hooks.address}/{name}-ping",
        }

    def type(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Type it there."""
        given = " ".join(f"{key}={quote(value)}" for key, value in self.secrets(name).items())
        words = f"{PYTHON} -m pyinfra -y {PLACE}/{name}.py deploys/schedule.py {' '.join(options)}"
        return self.machine.run(f"cd {PROJECT} && HOME=/root {given} {words}", timeout=120)

    def install(self, name: str, *options: str) -> str:
        """Type it there; what was printed."""
        done = self.type(name, *options)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def left(self) -> str:
        """What there is of any schedule."""
        return self.must(
            "find / -xdev -name '*pyinfra*ops*' -not -path '/srv/*' -not -path '/proc/*' -not -path '/root/.*'"
        )

    def units(self) -> str:
        """Those that systemd knows."""
        return self.must("systemctl list-units --all --plain --no-legend 'pyinfra-ops*'")

    def notices(self, name: str) -> list[tuple[str, str]]:
        """Who was told what: kind and title."""
        return [(told.notice["type"], told.notice["title"]) for told in self.hooks.told(f"/{name}/")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if lack := lacking():
        pytest.skip(f"needs {lack}")
    server = PostgresServer(tmp_path_factory.mktemp("pg"), settings={**FAST, "unix_socket_directories": "/tmp"})
    sockets = Path(f"/tmp/ops-pg-{server.port}")
    sockets.mkdir()
    sockets.chmod(0o777)
    server.settings["unix_socket_directories"] = str(sockets)
    base = [] if sys.base_prefix == "/usr" else [sys.base_prefix]
    try:
        with running(server):
            shop = shops.create(server, rows=100)
            with machines(
                1, [f"{root()}:{PROJECT}", f"{sys.prefix}:/srv/venv", f"{sockets}:/srv/postgres", *base]
            ) as lot:
                if lot.machines[0].run(f"{PYTHON} -c 'import psycopg, ssl'").returncode:
                    pytest.skip("needs a Python that runs on Debian 12 as well")
                with listening(lot, tmp_path_factory.mktemp("hooks") / "told") as told:
                    one = Site(lot, shop, told)
                    # A Python may lie in the home of root.
                    one.must(f"chmod 755 /root; mkdir -p {PLACE}/out /srv/metrics")
                    one.must(f"printf %s {quote(OWN)} > {PLACE}/own.py")
                    yield one
    except CannotBuild as error:
        pytest.skip(f"needs a mirror of Debian: {error}")
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


@contextmanager
def listening(lot: Lot, file: Path) -> Iterator[hooks.Hooks]:
    """A server in the network of the machines."""
    address = f"{NETWORK}.1"
    with subprocess.Popen(
        lot.inside(sys.executable, hooks.__file__, address, str(file)), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield hooks.Hooks(f"{address}:{process.stdout.readline().strip()}", file)
        finally:
            process.kill()


def own(at: str = "*-*-* 02:30:00", timeout: str = "30s", ping: str = 'ping=secret("PING"), ') -> str:
    return f'Job(name="own", deploy="{PLACE}/own.py", at="{at}", delay="0s", {ping}timeout="{timeout}")'


def test_a_timer_takes_backups_until_it_is_taken_away(site: Site) -> None:
    soon = site.must("date -u -d '12 seconds' +%H:%M:%S").strip()
    site.describe("prod", f'Job(name="backup", deploy="deploys/backup.py", at="*-*-* {soon}", delay="0s")')
    said = site.install("prod")
    assert re.search(rf"backup runs next at \w+ \d+-\d+-\d+ {soon} UTC; then at \w+ \d+-\d+-\d+ {soon} UTC", said)
    files = site.must("cat /etc/systemd/system/pyinfra-ops-prod*; stat -c '%a %U %n' /etc/pyinfra-ops/prod/*")
    assert site.shop.password not in files + said
    assert "600 root /etc/pyinfra-ops/prod/SHOP_PASSWORD\n" in files
    again = site.install("prod")
    assert "The timers are as they are to be" in again
    grand_total = next(line for line in again.splitlines() if "Grand total" in line)
    assert grand_total.split()[-4:] == ["5", "-", "-", "5"], grand_total

    figure = site.must("systemd-analyze security --no-pager pyinfra-ops-prod.backup.service | tail -1")
    print(figure)
    assert float(re.search(r"([\d.]+) OK", figure)[1]) <= 3.0
    assert site.must("systemd-analyze verify pyinfra-ops-prod.backup.timer 2>&1") == ""

    metrics = "/srv/metrics/pyinfra_ops_prod.backups.prom"
    site.until(lambda: site.machine.run(f"test -e {metrics}").returncode == 0)
    assert len(site.must("ls -d /srv/backups-prod/prod/shop/*Z").split()) == 1
    site.until(lambda: "inactive" in site.machine.run("systemctl is-active pyinfra-ops-prod.backup").stdout)
    text = site.must("cat /srv/metrics/*.prom; stat -c %a /srv/metrics/*.prom")
    assert text.endswith("644\n644\n")
    assert 'pyinfra_ops_job_last_succeeded{environment="prod",name="backup"} 1' in text
    assert 'pyinfra_ops_backup_complete{environment="prod",' in text
    log = site.must("journalctl -u pyinfra-ops-prod.backup --no-pager -o cat")
    assert "Take a backup of prod/" in log
    assert "\x1b" not in log and site.shop.password not in log
    assert "scheduled: backup" in site.must("cat /srv/backups-prod/prod/runs/*backup.json")

    another = "pyinfra_ops_prod_eu.backups.prom"
    site.must(f"touch /srv/metrics/{another}")
    site.install("prod", "--data", "present=no")
    assert (site.left(), site.units(), site.must("ls /srv/metrics")) == ("", "", f"{another}\n")
    site.must(f"rm /srv/metrics/{another}")
    assert len(site.must("ls -d /srv/backups-prod/prod/shop/*Z").split()) == 1, "the backups stay"
    assert "Nothing of the schedule is there" in site.install("prod", "--data", "present=no")


def test_a_drill_and_a_refresh_run_by_themselves(site: Site) -> None:
    """Shut off from all that a job does not need: the units alone say what they may write to."""
    jobs = [f'Job(name="{name}", deploy="deploys/{name}.py", at="*-*-* 02:30:00")' for name in ("backup", "drill")]
    text = site.describe("source", *jobs, more='user="backup"')
    site.write("source", text.replace("/srv/backups-source", "/srv/our backups"))
    site.install("source")
    for job in ("backup", "drill"):
        site.start(f"pyinfra-ops-source.{job}")
    site.must("printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > /etc/systemd/system/web.service")
    site.must("systemctl daemon-reload; systemctl start web; chmod -R a+rX '/srv/our backups'")
    before = site.must("systemctl show -P MainPID web")
    job = 'Job(name="refresh", deploy="deploys/refresh.py", at="*-*-* 03:30:00")'
    more = f"""), services=[Systemd(name="web", hosts="runner")], refresh=Refresh(
        source=BackupOf(environment="source", database={site.shop.name!r}, store=Directory(path="/srv/our backups")),
        masking=Masking(salt=secret("SALT"), tables=masking.TABLES)"""
    text = site.describe("copy", job, more=more)
    imports = "from ops import BackupOf, Masking, Refresh, Systemd\nfrom ops.sandbox import masking\n"
    site.write("copy", imports + text.replace(f"database={site.shop.name!r}, user", "database='copy', user", 1))
    with psycopg.connect(site.shop.server.url(), autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE copy OWNER {}").format(sql.Identifier(site.shop.user)))
    site.install("copy")
    site.start("pyinfra-ops-copy.refresh")
    with psycopg.connect(site.shop.server.url("copy")) as copy:
        assert copy.execute("SELECT count(*) FROM customers WHERE email NOT LIKE 'u%@example.com'").fetchone() == (0,)
        assert copy.execute("SELECT count(*) > 0 FROM customers").fetchone() == (True,)
    assert "copy is refreshed from source/" in site.must("journalctl -u pyinfra-ops-copy.refresh --no-pager -o cat")
    assert site.must("systemctl show -P MainPID web") != before
    for name in ("copy", "source"):
        site.install(name, "--data", "present=no")
    site.must("systemctl stop web; rm /etc/systemd/system/web.service; systemctl daemon-reload")


def test_each_failure_is_told_once_and_its_end_once(site: Site) -> None:
    site.describe("told", own())
    site.install("told")
    unit = "pyinfra-ops-told.own.service"
    for code in (3, 4, 0, 0):
        site.script(f"echo the password is {site.shop.password}; exit {code}")
        assert bool(site.machine.run(f"systemctl start {unit}").returncode) is bool(code)
    failure, end = ("failure", "told: the job own failed"), ("success", "told: the job own works again")
    assert site.notices("told") == [failure, end]
    body = site.hooks.told("/told/")[0].notice["message"]
    assert "the password is ***" in body and site.shop.password not in body
    pings = [told.path.removeprefix("/told-ping") for told in site.hooks.told("/told-ping")]
    assert pings == ["/start", "/fail", "/start", "/fail", "/start", "", "/start", ""]
    runs = [told.query["rid"] for told in site.hooks.told("/told-ping")]
    assert runs[::2] == runs[1::2] and len(set(runs)) == 4

    # One that overruns is not started again, neither by its timer nor by hand.
    site.script(f"echo began >> {PLACE}/out/began; sleep 600")
    site.must(f"systemctl start --no-block {unit}")
    site.until(lambda: site.machine.run(f"test -e {PLACE}/out/began").returncode == 0)
    site.must(f"systemctl start --no-block {unit}")
    line = site.must(f"sed -n 's/^ExecStart=//p' /etc/systemd/system/{unit}")
    assert site.machine.run(f"cd {PROJECT} && STATE_DIRECTORY=/var/lib/pyinfra-ops/told {line}").returncode == 75
    assert site.must(f"cat {PLACE}/out/began") == "began\n"

    # One that is killed has failed, too, which is told by what systemd starts then.
    site.must(f"systemctl kill -s KILL {unit}")
    site.until(lambda: len(site.notices("told")) == 3)
    assert site.notices("told")[2] == failure
    assert "did not come to its end: it was killed (signal)" in site.hooks.told("/told/")[2].notice["message"]
    site.until(lambda: [told.path for told in site.hooks.told("/told-ping")][-1] == "/told-ping/fail")

    # A job that is not declared any more goes.
    assert "told.job_own.prom" in site.must("ls /srv/metrics")
    text = site.describe("told", own().replace('name="own"', 'name="new"'))
    site.install("told")
    assert "told.job_own.prom" not in site.must("ls /srv/metrics")
    assert site.must("ls /etc/systemd/system | grep ops").split() == [
        f"pyinfra-ops-told.new.{kind}" for kind in ("ended.service", "service", "timer")
    ]
    # A secret that is gone keeps no job from being done, and from telling of it.
    site.must("rm /etc/pyinfra-ops/told/PING")
    site.script("true")
    site.start("pyinfra-ops-told.new")
    assert "the secret PING is missing" in site.must("journalctl -u pyinfra-ops-told.new --no-pager -o cat")

    # Another environment of the same name takes nothing over.
    site.write("told", text.replace("/srv/backups-told", "/srv/elsewhere"))
    for options in ((), ("--data", "present=no")):
        refused = site.type("told", *options)
        assert refused.returncode == 1
        assert "jobs of another environment that is called told as well: of shop, backed up to /srv/" in refused.stderr
    site.write("told", text)
    site.install("told", "--data", "present=no")


def test_a_run_that_was_missed_is_caught_up_after_a_reboot(site: Site) -> None:
    """And the timers are there after it."""
    past = site.must("date -u -d '1 hour ago' +%H:%M").strip()
    site.script(f"date >> {PLACE}/out/caught-up")
    site.describe("missed", own(at=past))
    site.install("missed")
    assert site.machine.run(f"test -e {PLACE}/out/caught-up").returncode
    site.must("systemctl stop pyinfra-ops-missed.own.timer")
    site.must("touch -d '2 days ago' /var/lib/systemd/timers/stamp-pyinfra-ops-missed.own.timer")
    site.machine.reboot()
    site.until(lambda: site.machine.run(f"test -e {PLACE}/out/caught-up").returncode == 0)
    site.until(
        lambda: site.hooks.told("/missed-ping")[-1:] and site.hooks.told("/missed-ping")[-1].path == "/missed-ping"
    )
    assert site.must("systemctl is-active pyinfra-ops-missed.own.timer") == "active\n"
    assert site.must(f"wc -l < {PLACE}/out/caught-up").strip() == "1"
    # Another time is none that was missed, although it is between the last run and now.
    site.must("systemctl stop pyinfra-ops-missed.own.timer")
    site.must("touch -d '2 days ago' /var/lib/systemd/timers/stamp-pyinfra-ops-missed.own.timer")
    site.describe("missed", own(at=site.must("date -u -d '30 minutes ago' +%H:%M").strip()))
    site.install("missed")
    assert "left" in site.must("systemctl list-timers --no-pager pyinfra-ops-missed.own.timer").lower()
    assert site.must(f"sleep 1; wc -l < {PLACE}/out/caught-up").strip() == "1"
    site.install("missed", "--data", "present=no")


def test_what_cannot_be_kept_is_refused_before_anything_is_changed(site: Site) -> None:
    site.describe("wrong", own(), own(at="*-*-* 25:00:00").replace('"own"', '"late"'))
    done = site.type("wrong")
    assert done.returncode == 1
    assert "the job late never runs at '*-*-* 25:00:00 UTC'. Write a time such as" in done.stderr
    assert "Traceback" not in done.stderr
    assert site.left() == ""
    site.describe("wrong", own().replace("own.py", "gone.py"))
    assert "runs /srv/test/gone.py, which does not exist" in site.type("wrong").stderr
    site.describe("wrong", own().replace('name="own"', 'name="own", limit="runer"'))
    assert "the job own is limited to runer, and there is no such group or host" in site.type("wrong").stderr
    site.describe("wrong", own(), more='user="nobody-at-all"')
    assert "@local has no user nobody-at-all. Type there: useradd" in site.type("wrong").stderr
    site.describe("wrong", own(), more='user="backup"')
    site.must(f"chmod 600 {PLACE}/wrong.py")
    assert "backup cannot run this project in /srv/ops. Let backup read it" in site.type("wrong").stderr
    site.must(f"chmod 644 {PLACE}/wrong.py")
    site.describe("wrong", own())
    words = f"cd {PROJECT} && {PYTHON} -m pyinfra -y {PLACE}/wrong.py deploys/schedule.py"
    assert (
        "only root can install jobs on @local. Add --sudo"
        in site.machine.run(f"runuser -u backup -- sh -c '{words}'").stderr
    )
    assert site.left() == ""


def test_a_remote_runner_gets_the_project_and_its_jobs_find_themselves_there(site: Site, tmp_path: Path) -> None:
    """As an ordinary user. The machine has no package registry: its pip finds everything installed."""
    site.must(f"printf %s {quote(THERE)} > /usr/local/bin/python-there; chmod 755 /usr/local/bin/python-there")
    host = (site.machine.name, site.lot.by_ssh(site.machine))
    inventory = tmp_path / "far.py"
    inventory.write_text(site.describe("far", own(), runner=host, more='user="backup"'))
    site.must(f"rm {PLACE}/far.py; chmod 777 {PLACE}/out")

    def typed(*options: str) -> str:
        """Typed here."""
        words = [PYINFRA, "-y", inventory, "deploys/schedule.py", *options]
        command = site.lot.inside("env", "-C", str(root()), f"HOME={tmp_path}", *map(str, words))
        variables = {"PATH": os.environ["PATH"], **site.secrets("far")}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "Install this version in /opt/pyinfra-ops/far/" in typed("--data", "python=/usr/local/bin/python-there")
    again = typed()
    assert "This version is in /opt/pyinfra-ops/far/" in again
    assert next(line for line in again.splitlines() if "Grand total" in line).split()[-4:] == ["5", "-", "-", "5"]
    assert site.must("stat -c '%a %U:%G' /opt/pyinfra-ops/far").strip() == "750 root:backup"

    site.script(f"id -un > {PLACE}/out/who")
    site.must("systemctl start pyinfra-ops-far.own.service")
    assert site.must(f"cat {PLACE}/out/who") == "backup\n"
    assert "[@local] Success" in site.must("journalctl -u pyinfra-ops-far.own --no-pager -o cat")
    assert [told.path for told in site.hooks.told("/far-ping")] == ["/far-ping/start", "/far-ping"]
    figure = site.must("systemd-analyze security --no-pager pyinfra-ops-far.own.service | tail -1")
    print(figure)
    assert float(re.search(r"([\d.]+) OK", figure)[1]) <= 2.0

    typed("--data", "present=no")
    assert (site.left(), site.units()) == ("", "")


def test_cron_does_it_where_there_is_no_systemd(site: Site) -> None:
    site.must("mv /run/systemd/system /run/systemd/hidden")
    try:
        site.script(f"date >> {PLACE}/out/cron; echo the password is {site.shop.password}")
        site.describe("old", own(at="*-*-* *:*:00"))
        assert "own runs by cron at * * * * * (UTC)" in site.install("old")
        assert "No changes" in site.install("old")
        told = site.must("cat /etc/cron.d/pyinfra-ops-old; stat -c '%a %U %n' /etc/pyinfra-ops/old/HOOK")
        assert "600 root" in told and site.shop.password not in told
        site.until(lambda: [one.path for one in site.hooks.told("/old-ping")][-1:] == ["/old-ping"], within=100)
        assert site.must(f"wc -l < {PLACE}/out/cron").strip() == "1"
        site.install("old", "--data", "present=no")
        assert site.left() == ""
    finally:
        site.must("mv /run/systemd/hidden /run/systemd/system")
