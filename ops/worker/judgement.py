"""What a statement means for code that was written before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["additive", "unknown", "breaking"]
"""Old code goes on as before; nobody can tell; old code fails, or reads or writes what is wrong."""


@dataclass(frozen=True)
class Judgement:
    """Of a statement, or of one of its parts.

    Args:
        verdict: for old code.
        why: in words.
        settled: it rests on what the migrations before made, which one who sees the statement alone cannot know.
    """

    verdict: Verdict
    why: str
    settled: bool = False


def additive(why: str, settled: bool = False) -> Judgement:
    """Old code goes on as before."""
    return Judgement("additive", why, settled)


def breaking(why: str) -> Judgement:
    """Old code may fail, or read or write what is wrong."""
    return Judgement("breaking", why)


def unknown(why: str) -> Judgement:
    """Nobody can tell, so that it counts as breaking."""
    return Judgement("unknown", why)
