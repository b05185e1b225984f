"""Directories of PostgreSQL's programs in which one is not what it says."""

from __future__ import annotations

import shlex
from pathlib import Path

PROGRAMS = ("pg_dump", "pg_dumpall", "pg_restore")


def false_program(place: Path, real: Path, name: str, script: str, version: str = "") -> str:
    """All programs as they are but one, which runs a script instead; the directory.

    Args:
        place: an existing directory, in which the new one is made.
        real: where the real programs lie.
        name: the one that is false.
        script: of /bin/sh; in it ``$real`` is the real program.
        version: what it calls its version; the real one when empty.
    """
    directory = place / "bin"
    directory.mkdir()
    for program in PROGRAMS:
        path = directory / program
        true = shlex.quote(str(real / program))
        lines = ["#!/bin/sh", f"real={true}"]
        if program == name:
            told = f'echo "{name} (PostgreSQL) {version}"' if version else '"$real" --version'
            lines.append(f'case "$*" in --version) {told}; exit;; *--host=/nonexistent*) exec "$real" "$@";; esac')
            lines.append(script)
        else:
            lines.append('exec "$real" "$@"')
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)
    return str(directory)
