"""What a project on Neon is made of, as its API tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self


@dataclass(frozen=True)
class Branch:
    """A branch.

    Args:
        id: Neon's.
        name: its name.
        parent: id of the branch that it was made of; None: the root.
        default: whether it is the project's default branch.
        protected: whether Neon protects it.
        created: when it was made.
        expires: when Neon deletes it by itself; None: never.
        state: in Neon's words, such as ``ready``.
        at: the time of the parent's history that it was made of; None: not told.
        lsn: the same place as an LSN; None: not told.
    """

    id: str
    name: str
    parent: str | None
    default: bool
    protected: bool
    created: datetime
    expires: datetime | None
    state: str
    at: datetime | None = None
    lsn: str | None = None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """As Neon tells of it."""
        return cls(
            id=told["id"],
            name=told["name"],
            parent=told.get("parent_id"),
            default=told["default"],
            protected=told["protected"],
            created=_created(told),
            expires=_time(told.get("expires_at")),
            state=told["current_state"],
            at=_time(told.get("parent_timestamp")),
            lsn=told.get("parent_lsn"),
        )


@dataclass(frozen=True)
class Endpoint:
    """What runs a branch's PostgreSQL.

    Args:
        id: Neon's.
        branch: id of the branch.
        kind: ``read_write`` or ``read_only``.
        state: ``init``, ``active`` or ``idle``; the last starts by itself when somebody connects.
        host: to connect to.
    """

    id: str
    branch: str
    kind: str
    state: str
    host: str

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """As Neon tells of it."""
        return cls(told["id"], told["branch_id"], told["type"], told["current_state"], told["host"])


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of a branch.

    Args:
        id: Neon's.
        name: its name.
        branch: id of the branch; None: not known.
        created: when it was made.
        expires: when Neon deletes it by itself; None: never.
    """

    id: str
    name: str
    branch: str | None
    created: datetime
    expires: datetime | None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """As Neon tells of it."""
        branch, expires = told.get("source_branch_id"), _time(told.get("expires_at"))
        return cls(told["id"], told["name"], branch, _created(told), expires)


def _created(told: dict[str, Any]) -> datetime:
    time = _time(told["created_at"])
    assert time is not None
    return time


def _time(told: str | None) -> datetime | None:
    return None if told is None else datetime.fromisoformat(told).astimezone(UTC)
