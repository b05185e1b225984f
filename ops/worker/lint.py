"""Squawk's findings on what migrations are about to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ops.engines.base import Migration
from ops.errors import ToolError
from ops.migrations import Migrations


@dataclass(frozen=True)
class Finding:
    """One.

    Args:
        migration: whose.
        file: of the migration.
        line: of the file; of the SQL that the engine would send, where the file is no SQL.
        rule: squawk's name for it.
        message: what is wrong.
        help: what to do instead.
        fails: whether it ends the run, as the inventory says.
    """

    migration: str
    file: str
    line: int
    rule: str
    message: str
    help: str
    fails: bool

    def to_json(self) -> dict[str, Any]:
        """As the worker's answer carries it."""
        return asdict(self)


# The environment sets both for every statement that is applied.
_OURS = ("require-lock-timeout", "require-statement-timeout")


def lint(pending: Sequence[Migration], description: Migrations, major: int) -> list[Finding]:
    """What squawk finds in the SQL of migrations.

    Args:
        pending: those whose SQL is known.
        description: says which rules fail, and which are off.
        major: version of the server.

    Raises:
        ToolError: squawk is not installed, or cannot read it.
    """
    return [finding for migration in pending if migration.sql for finding in _of(migration, description, major)]


def _of(migration: Migration, description: Migrations, major: int) -> list[Finding]:
    command = [
        str(_squawk()), "--reporter=json", f"--pg-version={major}.0", "--no-error-on-unmatched-pattern",
        f"--exclude={','.join((*_OURS, *description.lint_off))}",
        *(["--assume-in-transaction"] if migration.transactional and "BEGIN;" not in migration.sql else []),
    ]  # fmt: skip
    # What it reads from standard input has one statement begin where the last one ended.
    ran = subprocess.run(command, input=migration.sql, capture_output=True, text=True, timeout=120)
    try:
        found = json.loads(ran.stdout or "[]")
    except ValueError:
        found = None
    if found is None or ran.returncode not in (0, 1):
        said = next((line for line in ran.stderr.splitlines() if line.strip()), f"exit code {ran.returncode}")
        raise ToolError(
            f"squawk cannot read the migration {migration.id}: {said}", "Look at lint_off= in the inventory"
        )
    return [
        Finding(
            migration.id,
            migration.file,
            int(one["line"]) + migration.line,
            one["rule_name"],
            " ".join(one["message"].split()),
            " ".join((one["help"] or "").split()),
            one["rule_name"] in description.lint_fails,
        )
        for one in found
    ]


def _squawk() -> Path:
    found = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")
    if found is None:
        raise ToolError("squawk is not installed, which looks at the SQL of migrations", "Type: pip install squawk-cli")
    return Path(found)
