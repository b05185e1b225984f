"""Whether a trigger holds: a check that has failed in every round for long enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ops.checks import Outcome, Result, Trigger

LASTING = "2m"
"""For how long any check must fail where an environment declares no triggers."""


@dataclass(frozen=True)
class Held:
    """A trigger in a round that it fails in.

    Args:
        trigger: which.
        seconds: for how long by now.
        result: the worst of what its check came to.
    """

    trigger: Trigger
    seconds: float
    result: Result

    @property
    def holds(self) -> bool:
        """Whether that is as long as it says."""
        return self.seconds >= self.trigger.seconds

    def __str__(self) -> str:
        one = self.result
        limit = f" ({one.limit})" if one.limit else ""
        return f"{one.full_name} {one.outcome}: {one.value}{limit}"


class Vigil:
    """Remembers since when each trigger's check fails. A round in which it passes, or warns, begins it anew.

    A round in which it is unknown, or not among the results, neither counts nor begins it anew; the former counts where
    the trigger says so.

    Args:
        triggers: none: any check that fails, or is unknown, for two minutes.
    """

    def __init__(self, triggers: Sequence[Trigger]) -> None:
        self._declared = triggers
        self._triggers = triggers
        self._since: dict[str, float] = {}

    def round(self, now: float, results: Iterable[Result]) -> list[Held]:
        """What fails in this round, and for how long; those that hold come first.

        Args:
            now: seconds on a clock that does not go back, when the round began.
            results: of all checks.
        """
        found = list(results)
        names = dict.fromkeys(one.name for one in found)
        self._triggers = self._declared or [Trigger(check=name, lasting=LASTING, unknown=True) for name in names]
        held = [self._look(trigger, now, found) for trigger in self._triggers]
        return sorted((one for one in held if one), key=lambda one: (not one.holds, -one.seconds))

    def due(self) -> float | None:
        """When the next trigger holds if its check goes on failing; None: none fails."""
        failing = [one for one in self._triggers if one.check in self._since]
        return min((self._since[one.check] + one.seconds for one in failing), default=None)

    def _look(self, trigger: Trigger, now: float, results: Sequence[Result]) -> Held | None:
        own = [one for one in results if trigger.check in (one.check, one.name)]
        counts = (Outcome.FAIL, Outcome.UNKNOWN) if trigger.unknown else (Outcome.FAIL,)
        bad = next((one for outcome in counts for one in own if one.outcome is outcome), None)
        if bad is not None:
            since = self._since.setdefault(trigger.check, now)
            return Held(trigger, now - since, bad)
        if own and not any(one.outcome is Outcome.UNKNOWN for one in own):
            self._since.pop(trigger.check, None)
        return None
