"""What a job remembers from one run to the next, so that a failure and its end are told once each."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self


@dataclass
class Memory:
    """Of one job.

    Args:
        run: the id of the run that has begun and not ended.
        since: when it began.
        failing: when the first of the failures in a row was.
        told: the names of those who were told of it, and not yet of its end.
        succeeded: when it last succeeded.
    """

    run: str | None = None
    since: str | None = None
    failing: str | None = None
    told: list[str] = field(default_factory=list)
    succeeded: str | None = None

    @classmethod
    def of(cls, file: Path) -> Self:
        """What is remembered; nothing when the file is not there, or was damaged."""
        try:
            found = json.loads(file.read_text())
            memory = cls(**{each.name: found[each.name] for each in fields(cls) if each.name in found})
            memory.told = list(memory.told)
            return memory
        except (OSError, ValueError, TypeError):
            return cls()

    def keep(self, file: Path) -> None:
        """Remember it, whatever happens while it is written."""
        new = file.with_suffix(".new")
        with new.open("w") as content:
            json.dump(asdict(self), content)
            content.flush()
            os.fsync(content.fileno())
        new.rename(file)
