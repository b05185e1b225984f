"""The typed description of a refresh: where production's data comes from, and what becomes of every column of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ops.database import AnyDatabase, Neon
from ops.described import Described, Name
from ops.masking import Masking
from ops.storage import AnyStore


class BackupOf(Described):
    """The newest proven backup of another environment. Its store's keys need only read.

    Args:
        environment: its name.
        database: its database's name.
        store: where its backups lie.
    """

    kind: Literal["backup"] = "backup"
    environment: Name
    database: str
    store: AnyStore


class BranchOf(Described):
    """A branch that is made of another environment's on Neon, and deleted afterwards.

    Args:
        environment: its name.
        neon: its database on Neon.
    """

    kind: Literal["branch"] = "branch"
    environment: Name
    neon: Neon


AnySource = Annotated[BackupOf | BranchOf, Field(discriminator="kind")]


class Refresh(Described):
    """How an environment gets another one's data.

    Args:
        source: where the data comes from.
        masking: what becomes of it before anybody sees it.
        scratch: a server on which what is not masked yet lies meanwhile; None: the environment's own.
    """

    source: AnySource
    masking: Masking
    scratch: AnyDatabase | None = None
