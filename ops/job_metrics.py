"""What Prometheus gets to know of jobs and backups: text files, which its node_exporter collects from a directory.

Times are told, not ages, as is usual there: the age is ``time() - pyinfra_ops_backup_newest_timestamp_seconds``.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ops import clock

_HELP = {
    "pyinfra_ops_job_last_end_timestamp_seconds": "When the last run of the job ended.",
    "pyinfra_ops_job_last_success_timestamp_seconds": "When a run of the job last ended well.",
    "pyinfra_ops_job_last_duration_seconds": "How long the last run of the job took.",
    "pyinfra_ops_job_last_succeeded": "Whether the last run of the job ended well: 1, or 0.",
    "pyinfra_ops_backup_newest_timestamp_seconds": "When the newest complete backup was begun.",
    "pyinfra_ops_backup_newest_size_bytes": "The size of its dump.",
    "pyinfra_ops_backup_proven_timestamp_seconds": "When the newest backup that a restore has proven was begun.",
    "pyinfra_ops_backup_restore_duration_seconds": "How long that restore took.",
    "pyinfra_ops_backup_complete": "How many complete backups there are.",
}


def of_job(labels: Mapping[str, str], ended: float, succeeded: str | None, seconds: float | None, well: bool) -> str:
    """The metrics of a job.

    Args:
        labels: environment and name.
        ended: when its last run did, in seconds since 1970.
        succeeded: when one last did.
        seconds: that the last one took; None: nobody knows, because it was killed.
        well: whether it succeeded.
    """
    values = {
        "pyinfra_ops_job_last_end_timestamp_seconds": ended,
        "pyinfra_ops_job_last_success_timestamp_seconds": succeeded and clock.parse_iso(succeeded).timestamp(),
        "pyinfra_ops_job_last_duration_seconds": seconds,
        "pyinfra_ops_job_last_succeeded": int(well),
    }
    return _text(labels, values)


def of_backups(labels: Mapping[str, str], backups: Sequence[Mapping[str, Any]]) -> str:
    """The metrics of the backups of a database.

    Args:
        labels: environment and database.
        backups: newest first, as the worker lists them.
    """
    complete = [backup for backup in backups if backup["state"] in ("proven", "unproven")]
    values: dict[str, float | str | None] = {"pyinfra_ops_backup_complete": len(complete)}
    if complete:
        values["pyinfra_ops_backup_newest_timestamp_seconds"] = clock.parse(complete[0]["id"]).timestamp()
        values["pyinfra_ops_backup_newest_size_bytes"] = complete[0]["size"]
    proven = next((backup for backup in complete if backup["state"] == "proven"), None)
    if proven:
        values["pyinfra_ops_backup_proven_timestamp_seconds"] = clock.parse(proven["id"]).timestamp()
        values["pyinfra_ops_backup_restore_duration_seconds"] = proven["restore_seconds"]
    return _text(labels, values)


def write(directory: Path, name: str, text: str) -> None:
    """Put a file there at once and whole, readable for the exporter.

    Raises:
        OSError: it cannot be written.
    """
    handle, new = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    try:
        with os.fdopen(handle, "w") as content:
            content.write(text)
        Path(new).chmod(0o644)
        Path(new).rename(directory / f"{name}.prom")
    except BaseException:
        with contextlib.suppress(OSError):
            Path(new).unlink()
        raise


def _text(labels: Mapping[str, str], values: Mapping[str, float | str | None]) -> str:
    """The exposition format, of those that have a value."""
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "".join(
        f"# HELP {name} {_HELP[name]}\n# TYPE {name} gauge\n{name}{{{told}}} {value}\n"
        for name, value in values.items()
        if value is not None
    )


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
