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
# Those about clients that go on as they were. Not ban-drop-not-null: no statement of old code fails by that.
_FOR_OLD_CODE = (
    "adding-not-nullable-field", "adding-required-field", "ban-add-composite-attribute", "ban-add-enum-value",
    "ban-alter-extension", "ban-alter-function-options", "ban-alter-generated-expression", "ban-alter-identity",
    "ban-alter-policy-condition", "ban-alter-policy-roles", "ban-alter-role-options", "ban-alter-database-options",
    "ban-alter-row-level-security", "ban-alter-sequence-values", "ban-alter-system-options", "ban-alter-view-options",
    "ban-create-policy", "ban-detach-inheritance", "ban-disable-trigger", "ban-drop-column", "ban-drop-constraint",
    "ban-drop-database", "ban-drop-domain", "ban-drop-extension", "ban-drop-function", "ban-drop-generated-expression",
    "ban-drop-index", "ban-drop-policy", "ban-drop-schema", "ban-drop-sequence", "ban-drop-table", "ban-drop-type",
    "ban-drop-view", "ban-new-write-restriction", "ban-replace-view-function", "ban-replica-identity", "ban-revoke",
    "ban-set-default", "ban-set-schema", "ban-truncate-cascade", "changing-column-type", "renaming-column",
    "renaming-object", "renaming-table",
)  # fmt: skip


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


def objections(statements: Sequence[str], major: int) -> dict[int, str]:
    """What squawk says against statements on behalf of old code, by their place in the list.

    Args:
        statements: each a whole one.
        major: version of the server.

    Raises:
        ToolError: squawk is not installed, or cannot read them.
    """
    if not statements:
        return {}
    lines: list[int] = []
    for place, statement in enumerate(statements):
        lines += [place] * (statement.count("\n") + 2)  # the semicolon has a line of its own
    said = _asked("\n;\n".join([*statements, ""]), [f"--include={','.join(_FOR_OLD_CODE)}"], major, "statements")
    return {lines[one["line"]]: one["message"] for one in said if one["rule_name"] in _FOR_OLD_CODE}


def _of(migration: Migration, description: Migrations, major: int) -> list[Finding]:
    options = [
        f"--exclude={','.join((*_OURS, *description.lint_off))}",
        *(["--assume-in-transaction"] if migration.transactional and "BEGIN;" not in migration.sql else []),
    ]
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
        for one in _asked(migration.sql, options, major, f"the migration {migration.id}")
    ]


def _asked(sql: str, options: list[str], major: int, what: str) -> list[dict[str, Any]]:
    command = [
        str(_squawk()), "--reporter=json", f"--pg-version={major}.0", "--no-error-on-unmatched-pattern", *options,
    ]  # fmt: skip
    # What it reads from standard input has one statement begin where the last one ended.
    ran = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=120)
    try:
        found: list[dict[str, Any]] | None = json.loads(ran.stdout or "[]")
    except ValueError:
        found = None
    if found is None or ran.returncode not in (0, 1):
        said = next((line for line in ran.stderr.splitlines() if line.strip()), f"exit code {ran.returncode}")
        raise ToolError(f"squawk cannot read {what}: {said}", "Look at lint_off= in the inventory")
    return found


def _squawk() -> Path:
    found = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which("squawk")
    if found is None:
        raise ToolError("squawk is not installed, which looks at the SQL of migrations", "Type: pip install squawk-cli")
    return Path(found)
