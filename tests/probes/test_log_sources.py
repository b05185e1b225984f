"""Where logs really come from: the journal of a Debian machine, and the files of pm2."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
from disguise import Disguise, Heard
from stage import loaded

from ops.checks import Log, Outcome, Result
from ops.errors import OpsError
from ops.platforms.shell import Ran
from ops.probes import ask

pytestmark = pytest.mark.slow

CHATTY = """
echo ERROR one
echo fine
printf '\\033[31mERROR in red\\033[0m\\n'
echo 'GET /x: ERROR two'
"""
# As programs do that speak journald's own protocol; it looks up the unit while the sender is there.
LINES = r"""
import socket, time
message = b"first\n  ERROR below\nERROR lowest"
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect("/run/systemd/journal/socket")
sender.send(b"SYSLOG_IDENTIFIER=app\nMESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n")
time.sleep(1)
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A stage whose shell is a Debian machine's, with units ``chatty`` and ``lines``, which have written and ended."""
    with loaded("systemd").staged(tmp_path_factory, request) as stage:
        for name, program, text in (("chatty", "sh", CHATTY), ("lines", "python3", LINES)):
            unit = f"[Service]\nType=oneshot\nExecStart={program} /opt/{name}\n"
            stage.must(f"printf %s {quote(text)} > /opt/{name}")
            stage.must(f"printf %s {quote(unit)} > /etc/systemd/system/{name}.service")
        stage.must("systemctl daemon-reload && systemctl start chatty lines && journalctl --sync")
        yield stage
        stage.must("rm /etc/systemd/system/chatty.service /etc/systemd/system/lines.service; systemctl daemon-reload")


def journaled(stage: Any, pattern: str, unit: str = "chatty", **fields: Any) -> Result:
    """The one result of a check."""
    (one,) = ask(Log(hosts="app", unit=unit, pattern=pattern, **fields), stage.shell)
    return one


def test_a_journals_messages_are_counted(machine: Any) -> None:
    one = journaled(machine, "ERROR")
    assert one.outcome is Outcome.FAIL
    assert one.value.startswith("3 lines, the last at ")
    assert one.hint.startswith("On the host: journalctl -u chatty --since=-1h -o cat | grep")
    assert journaled(machine, "^ERROR").value.startswith("1 line, ")
    assert journaled(machine, "^GET /x: ERROR two$").value.startswith("1 line, ")
    assert journaled(machine, "in red").value.startswith("1 line, ")
    assert journaled(machine, "(").value.startswith("grep refuses the pattern: Unmatched (")
    time.sleep(2)
    assert journaled(machine, "ERROR", since="1s") == Result(Outcome.PASS, "0 lines", "≤ 0 in 1s")


def test_a_message_of_many_lines_counts_by_line(machine: Any) -> None:
    assert journaled(machine, "ERROR", unit="lines", at_most=9).value.startswith("2 lines")
    assert journaled(machine, "^ERROR lowest$", unit="lines").value.startswith("1 line, ")
    assert journaled(machine, "^  ERROR below$", unit="lines").value.startswith("1 line, ")


def test_a_journal_that_does_not_reach_back_so_far_is_a_warning(machine: Any) -> None:
    one = journaled(machine, "nothing", since="52w")
    assert one.outcome is Outcome.WARN
    assert one.value.startswith("0 lines, but the journal begins only at ")
    assert journaled(machine, "ERROR", since="52w").outcome is Outcome.FAIL


def test_a_unit_that_there_is_not_is_unknown(machine: Any) -> None:
    one = journaled(machine, "ERROR", unit="chaty")
    assert (one.outcome, one.value) == (Outcome.UNKNOWN, "systemd has no unit chaty")


def test_who_may_not_read_the_journal_knows_nothing(machine: Any) -> None:
    class Somebody:
        host = "host2"

        def run(self, script: str, timeout: float = 60) -> Ran:
            return machine.shell.run(f"setpriv --reuid=65534 --clear-groups sh -c {quote(script)}", timeout)

    (one,) = ask(Log(hosts="app", unit="chatty", pattern="nothing"), Somebody())
    assert (one.outcome, one.value) == (Outcome.UNKNOWN, "the user that connects may not read the whole journal")


TALKING = """
console.log('ERROR of old');
setInterval(() => { console.log('fine'); }, 1000);
console.error('ERROR token=s3cret');
"""


@pytest.fixture
def pm2(tmp_path: Path) -> Iterator[Any]:
    """A function that starts a process that writes into its logs; answers with the check's fields and a shell."""
    program = loaded("pm2").installed()
    if program is None:
        pytest.skip("needs npm")
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith("pm")}
    environment = {**kept, "PM2_HOME": str(tmp_path / "pm2")}

    def run(*words: str) -> None:
        subprocess.run([program, *words], env=environment, check=True, capture_output=True, timeout=60)

    def start(*words: str) -> dict[str, str]:
        (tmp_path / "talking.js").write_text(TALKING)
        run("start", str(tmp_path / "talking.js"), "--name", "web", *words)
        deadline = time.monotonic() + 20
        while not any("ERROR token" in one.read_text() for one in tmp_path.glob("**/*err*.log")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return {"process": "web", "home": str(tmp_path / "pm2"), "command": str(program)}

    yield start
    run("kill")


def test_the_logs_of_a_process_of_pm2_are_counted(pm2: Any, tmp_path: Path) -> None:
    fields = pm2("--time", "--error", str(tmp_path / "its own err.log"))
    heard = Heard()
    (one,) = ask(Log(hosts="app", pattern="ERROR", **fields), heard)
    assert one.outcome is Outcome.FAIL
    assert one.value.startswith("2 lines, the last at ")
    assert "s3cret" not in heard.said and "PATH" not in heard.said
    (one,) = ask(Log(hosts="app", pattern="nothing", **fields), heard)
    assert (one.outcome, one.value) == (Outcome.PASS, "0 lines")


def test_a_process_of_pm2_that_writes_no_times_is_unknown_and_so_is_one_that_there_is_not(pm2: Any) -> None:
    fields = pm2()
    (one,) = ask(Log(hosts="app", pattern="ERROR", **fields), Disguise())
    assert one.outcome is Outcome.UNKNOWN
    assert "has a time that could be read" in one.value and "time: true" in one.hint
    with pytest.raises(OpsError, match="has no process other"):
        ask(Log(hosts="app", pattern="ERROR", **{**fields, "process": "other"}), Disguise())
