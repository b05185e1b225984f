"""A job of a schedule, as a timer starts it, and whom it tells."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hooks as servers
import pytest
from asked import Asked

from ops import S3, clock, deploy_process, job_metrics
from ops.environment import root
from ops.job_memory import Memory
from ops.sandbox.shop import Shop
from ops.secrets import revealed

DEPLOY = 'from pyinfra.operations import server\nserver.shell(name="Do it", commands=["sh {place}/script"])\n'
INVENTORY = """
from ops import Environment, Job, Schedule, secret
environment = Environment(
    name="test",
    **{parts!r},
    notify=[secret("HOOK"), *{more}],
    schedule=Schedule(metrics="{place}/metrics", jobs=[
        Job(name="own", deploy="{place}/own.py", at="02:30", ping=secret("PING"), timeout="{timeout}"),
        Job(name="show", deploy="deploys/backups.py", at="02:30"),
    ]),
)
runner = environment.group("@local")
"""


class Jobs:
    """An environment with jobs, of which ``own`` does what a script says.

    Args:
        place: where everything of it lies.
        hooks: the server that it tells.
        parts: further fields of the environment.
    """

    def __init__(self, place: Path, hooks: servers.Hooks, **parts: object) -> None:
        self.place = place
        self.hooks = hooks
        self.parts = parts or {
            "database": {"host": "127.0.0.1", "port": 1, "database": "none"},
            "store": {"kind": "directory", "path": str(place / "store")},
        }
        (place / "own.py").write_text(DEPLOY.format(place=place))
        for name in ("state", "metrics"):
            (place / name).mkdir()
        self.reach("good")
        self.describe()

    def describe(self, timeout: str = "1m", more: str = "[]") -> None:
        """Write the inventory."""
        text = INVENTORY.format(parts=self.parts, place=self.place, timeout=timeout, more=more)
        (self.place / "inventory.py").write_text(text)

    def reach(self, path: str) -> None:
        """Whom the job tells from now on: secrets lie in files, as systemd has them."""
        keys = self.place / "credentials"
        keys.mkdir(exist_ok=True)
        (keys / "HOOK").write_text(f"json://{self.hooks.address}/{path}/hook-token-81\n")
        (keys / "PING").write_text(f"http://{self.hooks.address}/{path}-ping?key=ping-token-82\n")

    def script(self, text: str) -> None:
        """What the deploy does from now on."""
        (self.place / "script").write_text(text)

    def begin(self, name: str = "own", *more: str) -> subprocess.Popen[str]:
        """Start it."""
        variables = {"STATE_DIRECTORY": self.place / "state", "CREDENTIALS_DIRECTORY": self.place / "credentials"}
        return subprocess.Popen(
            [sys.executable, "-m", "ops.job", self.place / "inventory.py", name, *more],
            cwd=root(),
            env={"PATH": os.environ["PATH"], "HOME": str(self.place), **{k: str(v) for k, v in variables.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, name: str = "own", *more: str) -> tuple[int, str]:
        """Run it to its end: exit code, and what it printed."""
        with self.begin(name, *more) as process:
            said = process.communicate(timeout=120)[0]
        assert "Traceback" not in said, said
        return process.returncode, said

    def has_begun(self) -> None:
        """Wait until the script says so."""
        deadline = time.monotonic() + 60
        begun = self.place / "begun"
        while not begun.exists() or not begun.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def notices(self) -> list[tuple[str, str]]:
        """Kind and title of those that got through."""
        return [(told.notice["type"], told.notice["title"]) for told in self.hooks.told("/good/")]

    def memory(self) -> Memory:
        """What it remembers."""
        return Memory.of(self.place / "state/own.json")


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[servers.Hooks]:
    with servers.hooks(tmp_path / "told") as running:
        yield running


@pytest.fixture
def jobs(tmp_path: Path, hooks: servers.Hooks) -> Jobs:
    return Jobs(tmp_path, hooks)


def test_whoever_could_not_be_told_of_a_failure_is_told_of_the_next_and_once_of_its_end(jobs: Jobs) -> None:
    jobs.script("echo the address is $HOOK_FILE; cat $HOOK_FILE; exit 3")
    jobs.reach("broken")
    code, said = jobs.run()
    assert code == 1
    assert "secret('HOOK') did not take the notice" in said
    assert "the ping to secret('PING') did not get through: status 500" in said
    assert "\x1b" not in said
    assert len(jobs.hooks.told("/broken-ping")) == 4, "start and failure, twice each"

    jobs.reach("good")
    jobs.script(f"echo ping-token-82; echo $$ > {jobs.place}/begun; exec sleep 600")
    with jobs.begin() as process:
        jobs.has_begun()
        process.kill()
    left = jobs.memory().run
    assert left
    os.kill(int((jobs.place / "begun").read_text()), signal.SIGKILL)

    jobs.script("true")
    code, said = jobs.run()
    assert code == 0
    assert "did not come to its end: the machine went down, or it was killed" in said
    assert jobs.notices() == [
        ("failure", "test: the job own failed"),
        ("success", "test: the job own works again"),
    ]
    assert "Type: pyinfra test " in jobs.hooks.told("/good/")[0].notice["message"]
    pings = [
        (told.path.removeprefix("/good-ping"), told.query["rid"] == left) for told in jobs.hooks.told("/good-ping")
    ]
    assert pings == [("/start", True), ("/fail", True), ("/start", False), ("", False)]
    assert {told.query["key"] for told in jobs.hooks.told("/good-ping")} == {"ping-token-82"}
    assert "token-8" not in said + "".join(told.body for told in jobs.hooks.told("/"))
    assert jobs.run("own", "--ended") == (0, ""), "there is nothing to tell of"


def test_of_two_only_the_one_who_was_not_told_is_told_again(jobs: Jobs) -> None:
    jobs.describe(more='[secret("OTHER")]')
    other = jobs.place / "credentials/OTHER"
    failure, end = ("failure", "test: the job own failed"), ("success", "test: the job own works again")
    for path, script in (("broken", "exit 3"), ("other", "exit 3"), ("broken", "true"), ("other", "true")):
        other.write_text(f"json://{jobs.hooks.address}/{path}/other-token-83\n")
        jobs.script(script)
        jobs.run()
    assert jobs.notices() == [failure, end]
    assert [(told.notice["type"], told.notice["title"]) for told in jobs.hooks.told("/other/")] == [failure, end]


def test_neither_a_full_disk_nor_whoever_listens_for_ever_keeps_a_job_from_being_done(jobs: Jobs) -> None:
    (jobs.place / "state/own.new").mkdir()  # what cannot be written, as root as well
    jobs.script(f"echo done > {jobs.place}/begun")
    with servers.dripping() as address:
        (jobs.place / "credentials/PING").write_text(f"http://{address}/x\n")
        code, said = jobs.run()
    assert code == 0
    assert (jobs.place / "begun").read_text() == "done\n"
    assert "It cannot be remembered in " in said
    assert "the ping to secret('PING') did not get through: no answer within 10 s" in said


def test_a_deploy_that_takes_too_long_has_failed(jobs: Jobs) -> None:
    jobs.describe(timeout="3s")
    jobs.script(f"echo $$ > {jobs.place}/begun; exec sleep 601")
    code, _ = jobs.run()
    assert code == 124
    assert not Path(f"/proc/{(jobs.place / 'begun').read_text().strip()}").exists()
    (told,) = jobs.hooks.told("/good/")
    assert told.notice["message"].startswith("it took too long, and was ended (after ")
    assert jobs.hooks.told("/good-ping")[-1].path == "/good-ping/fail"


def test_what_does_not_end_by_itself_is_killed_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy_process, "_GRACE", 0.2)
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    lines: list[str] = []
    script = "trap '' INT; sleep 603 & echo begun $! $$; wait"
    try:
        deploy = deploy_process.Deploy(["sh", "-c", script], dict(os.environ), lines.append)
        assert deploy.run(0.5) == "it took too long, and was ended"
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    (line,) = lines
    for process in line.split()[1:]:
        status = Path(f"/proc/{process}/status")
        assert not status.exists() or "State:\tZ" in status.read_text()


def test_one_that_is_stopped_says_so(jobs: Jobs) -> None:
    jobs.script(f"echo $$ > {jobs.place}/begun; exec sleep 602")
    with jobs.begin() as process:
        jobs.has_begun()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert jobs.hooks.told("/good/")[0].notice["message"].startswith("it was stopped")
    assert jobs.memory().run is None and jobs.memory().failing


def test_what_cannot_be_run_is_said_in_one_line(jobs: Jobs, tmp_path: Path) -> None:
    code, said = jobs.run("backup")
    assert (code, said) == (1, "the environment test has no job backup. There are: own, show\n")
    (tmp_path / "inventory.py").write_text("x = 1\n")
    assert "has no environment = Environment(…)" in jobs.run()[1]
    (tmp_path / "inventory.py").write_text("import nothing_of_the_kind\n")
    assert "does not load: ModuleNotFoundError: No module named 'nothing_of_the_kind'" in jobs.run()[1]
    (tmp_path / "inventory.py").unlink()
    assert "cannot be read: No such file or directory" in jobs.run()[1]


def test_a_damaged_memory_is_none(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    for text in ("", "{", "[]", '{"told": true}', '{"other": 1}'):
        file.write_text(text)
        assert Memory.of(file).run is None
    Memory(run="1", told=["HOOK"]).keep(file)
    assert Memory.of(file) == Memory(run="1", told=["HOOK"])


def test_prometheus_is_told_of_backups_and_jobs(tmp_path: Path, hooks: servers.Hooks, shop: Shop, store_s3: S3) -> None:
    worker = Asked(shop, store_s3)
    proven = worker.ask("dump").backup
    assert worker.ask("drill").code == 0
    newest = worker.ask("dump").backup
    jobs = Jobs(tmp_path, hooks, database=revealed(shop.description()), store=revealed(store_s3))
    assert jobs.run("show")[0] == 0
    files = {path.name: path for path in (tmp_path / "metrics").iterdir()}
    assert sorted(files) == ["pyinfra_ops_test.backups.prom", "pyinfra_ops_test.job_show.prom"]
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o644}
    text = files["pyinfra_ops_test.backups.prom"].read_text()
    assert value(text, "backup_complete") == 2
    assert value(text, "backup_newest_timestamp_seconds") == clock.parse(newest["id"]).timestamp()
    assert value(text, "backup_newest_size_bytes") > 1000
    assert value(text, "backup_proven_timestamp_seconds") == clock.parse(proven["id"]).timestamp()
    assert value(text, "backup_restore_duration_seconds") > 0
    own = files["pyinfra_ops_test.job_show.prom"].read_text()
    assert value(own, "job_last_succeeded") == 1
    assert abs(value(own, "job_last_success_timestamp_seconds") - time.time()) < 60
    linted(text + own)


def test_a_label_may_be_anything() -> None:
    linted(job_metrics.of_backups({"environment": "a", "database": 'a"b\\c\nd'}, []))
    linted(job_metrics.of_job({"environment": "a", "name": "b"}, 1.0, None, None, well=False))


def value(text: str, name: str) -> float:
    """Of a metric that is there once."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"pyinfra_ops_{name}{{")]
    return float(line.rpartition(" ")[2])


def linted(text: str) -> None:
    """Prometheus's own opinion of names and format."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: apt install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
