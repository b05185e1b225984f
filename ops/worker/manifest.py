"""The manifest: what a backup is, sealed so that one flipped byte shows. A backup exists if and only if it does."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ops.errors import BackupDamaged

Document = TypeVar("Document", bound=BaseModel)


class Table(BaseModel):
    """A table and the exact number of its rows in the snapshot that was dumped."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_name: str
    name: str
    rows: int

    def __str__(self) -> str:
        return f"{self.schema_name}.{self.name}"


class Sequence(BaseModel):
    """A sequence's value: sequences are outside every snapshot, so it is known only within bounds under load.

    Args:
        before: its last value before pg_dump began; None when it was never used.
        after: its last value after pg_dump ended.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    before: int | None
    after: int | None

    def admits(self, value: int | None) -> bool:
        """Whether a restored sequence may stand at ``value``."""
        if self.before == self.after or value is None:
            return value in (self.before, self.after)
        bounds = [bound for bound in (self.before, self.after) if bound is not None]
        return len(bounds) == 1 or min(bounds) <= value <= max(bounds)


class Locale(BaseModel):
    """How the database sorts and encodes text, to make one that is alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    encoding: str
    provider: str
    collate: str
    ctype: str
    locale: str | None


class StoredFile(BaseModel):
    """A file of the backup as it was written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: int
    sha256: str


class Manifest(BaseModel):
    """What was dumped, from where, with what, and how to know it again. Times are UTC, sizes bytes.

    ``migration`` is the one that was applied last; None when the environment does not say how its schema migrates.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = 1
    id: str
    environment: str
    database: str
    started: str
    finished: str
    server_version: str
    pg_dump_version: str
    tool_version: str
    compression: str
    lsn: str
    dump: StoredFile
    globals: StoredFile
    locale: Locale
    extensions: dict[str, str]
    tables: list[Table]
    large_objects: int
    sequences: dict[str, Sequence]
    fingerprint: dict[str, str]
    migration: str | None = None
    seconds: dict[str, float]

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(table.rows for table in self.tables)


class Verification(BaseModel):
    """What the last drill or check found.

    Args:
        outcome: ``pass`` only after a restore that was compared; ``fail`` after a drill or a check.
        kind: ``drill`` or ``check``.
        finished: when.
        seconds: what each step took.
        findings: what differs, worst first; empty when nothing does.
        sha256: the dump that was looked at.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    outcome: str
    kind: str
    finished: str
    seconds: dict[str, float]
    findings: list[str]
    sha256: str


def seal(document: BaseModel) -> bytes:
    """The one spelling of a document, with the SHA-256 of all the rest in it."""
    content = document.model_dump(mode="json")
    return _spell({**content, "seal": hashlib.sha256(_spell(content)).hexdigest()})


def unseal(kind: type[Document], raw: bytes, where: str) -> Document:
    """Read a sealed document.

    Raises:
        BackupDamaged: any byte is not as it was written.
    """
    try:
        content = json.loads(raw)
        stated = content.pop("seal")
        genuine = _spell({**content, "seal": stated}) == raw
        if genuine and stated == hashlib.sha256(_spell(content)).hexdigest():
            return kind.model_validate(content)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, ValidationError):
        pass  # whatever is wrong with it, it is not what was written
    raise BackupDamaged(f"{where} is damaged: it does not carry its own seal", "Do not rely on this backup")


def _spell(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
