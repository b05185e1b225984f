"""Which settings a file gives, by their names alone."""

from __future__ import annotations

from pathlib import Path

from subshell import Subshell

from ops.platforms import settings
from ops.services import Systemd

FILE = """
A=1
export B='two'
  C="three" # a remark
D=
E=""
F='' # nothing
#G=1
H=${A}
"""


def test_those_that_are_set_to_nothing_are_missing(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(FILE)
    service = Systemd(name="web", hosts="app", env_file=f"{tmp_path}/env")
    assert settings.missing(Subshell(), service, list("ABCDEFGH")) == ["D", "E", "F", "G"]
