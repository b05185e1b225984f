"""What came of a check, for tables, reports and scripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How a check ended, the worst first. Unknown is never shown as pass."""

    FAIL = "fail"
    UNKNOWN = "unknown"
    WARN = "warn"
    PASS = "pass"  # noqa: S105

    @property
    def bad(self) -> bool:
        """Whether a run that ends with it has failed."""
        return self in (Outcome.FAIL, Outcome.UNKNOWN)


@dataclass(frozen=True)
class Result:
    """What came of one thing that a check looked at. A function of the user's own returns one, or several.

    Args:
        outcome: ``pass``, ``warn``, ``fail`` or ``unknown``.
        value: what was found, in words with its unit; where it is not as it must be, what is wrong.
        limit: what it must be.
        hint: what to type or to look at next; empty where nothing is wrong.
        what: which of several things the check looked at; empty when there is one alone.
        check: the check's name; filled in by who runs it.
        where: the host or service that it is about; filled in for checks that are asked on hosts.
        seconds: for which it was asked; filled in by who runs it.
    """

    outcome: Outcome
    value: str = ""
    limit: str = ""
    hint: str = ""
    what: str = ""
    check: str = ""
    where: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", Outcome(self.outcome))

    @property
    def name(self) -> str:
        """The check, and which of its things this is."""
        return f"{self.check}: {self.what}" if self.what else self.check

    @property
    def full_name(self) -> str:
        """The name, and where."""
        return f"{self.name} ({self.where})" if self.where else self.name

    def to_json(self) -> dict[str, Any]:
        """As documents and answers carry it."""
        return asdict(self)

    @staticmethod
    def from_json(document: dict[str, Any]) -> Result:
        """Back again."""
        return Result(**document)


def unknown(why: str, hint: str = "", check: str = "", what: str = "") -> Result:
    """Nobody could tell.

    Args:
        why: in words.
        hint: what to do about it.
        check: see ``Result``.
        what: see ``Result``.
    """
    return Result(Outcome.UNKNOWN, value=why, hint=hint, check=check, what=what)


def worst(results: Iterable[Result]) -> Outcome:
    """The worst outcome of all; pass when there is none."""
    order = list(Outcome)
    return min((result.outcome for result in results), key=order.index, default=Outcome.PASS)


def by_severity(results: Iterable[Result]) -> list[Result]:
    """The worst first, and those of one check together."""
    order = list(Outcome)
    return sorted(results, key=lambda one: (order.index(one.outcome), one.check, one.what, one.where))


class Baseline:
    """What was not as it must be before something was done, and so is not its doing."""

    def __init__(self) -> None:
        self._bad: set[tuple[str, str]] = set()

    def take(self, results: Iterable[Result]) -> None:
        """Remember what is not as it must be."""
        self._bad.update((one.name, one.where) for one in results if one.outcome.bad)

    def had(self, one: Result) -> bool:
        """Whether it was so, or its check as a whole, so that nobody could tell."""
        return not self._bad.isdisjoint({(one.name, one.where), (one.check, one.where)})
