"""This machine as a host in disguise: with another clock, other programs, other file systems."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

from ops.errors import HostUnreachable
from ops.platforms.shell import Ran

# Where the machines and the stages are that some of the tests here need.
sys.path.append(str(Path(__file__).parents[1] / "platforms"))


class Disguise:
    """Its ``sh``.

    Args:
        before: a script that runs before each, in the same shell.
        words: a command that runs the shell.
        sh: the shell.
    """

    host = "here"

    def __init__(self, before: str = "", words: tuple[str, ...] = (), sh: str = "sh") -> None:
        self.before = before
        self._words = (*words, sh, "-c")

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        command = [*self._words, f"{self.before}\n{script}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise HostUnreachable("here: no answer") from None
        return Ran(done.returncode, done.stdout, done.stderr)


class Heard(Disguise):
    """Keeps everything that was answered."""

    said = ""

    def run(self, script: str, timeout: float = 60) -> Ran:
        """See ``Shell``."""
        ran = super().run(script, timeout)
        self.said += ran.out + ran.err
        return ran


def mounted(before: str) -> Disguise:
    """With file systems of its own, which are gone after each script.

    Args:
        before: mounts them.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    return Disguise(f"set -e\n{before}\nset +e", ("unshare", "--mount"))


def with_programs(place: Path, **programs: str) -> Disguise:
    """With programs before those in PATH.

    Args:
        place: where they are written.
        programs: scripts of ``sh`` by name.
    """
    place.mkdir(exist_ok=True)
    for name, script in programs.items():
        file = place / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    return Disguise(f'PATH={quote(str(place))}:"$PATH"; export PATH')


def busybox(place: Path) -> Disguise:
    """With nothing but BusyBox, as on Alpine."""
    program = shutil.which("busybox")
    if program is None:
        pytest.skip("needs busybox: apt install busybox")
    place.mkdir()
    subprocess.run([program, "--install", "-s", place], check=True)
    return Disguise(f"PATH={quote(str(place))}; export PATH", sh=str(place / "sh"))


def shell(kind: str, place: Path) -> Disguise:
    """By the name of what is in it: ``debian`` as it is here, or ``busybox``."""
    return busybox(place / "busybox") if kind == "busybox" else Disguise()
