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

    A round in which it is unknown neither counts nor begins it anew, unless the trigger says that it counts. What is
    not among the results is as bad as its check as a whole, and passes when nothing of that is bad.

    Args:
        triggers: none: any check that fails, or is unknown, for two minutes.
    """

    def __init__(self, triggers: Sequence[Trigger]) -> None:
        self._declared = triggers
        self._triggers = list(triggers)
        self._since: dict[Trigger, float] = {}
        self._now = 0.0

    def round(self, now: float, results: Iterable[Result]) -> list[Held]:
        """What fails in this round, and for how long; those that hold come first.

        Args:
            now: seconds on a clock that does not go back, when the round began.
            results: of all checks.
        """
        self._now, found = now, list(results)
        if not self._declared:
            # What was once bad is remembered, also when it is told under another name in this round.
            names = dict.fromkeys([*(one.check for one in self._triggers), *(one.name for one in found)])
            self._triggers = [Trigger(check=name, lasting=LASTING, unknown=True) for name in names]
        held = [self._look(trigger, now, found) for trigger in self._triggers]
        return sorted((one for one in held if one), key=lambda one: (not one.holds, -one.seconds))

    def due(self) -> float | None:
        """When the next trigger holds if its check goes on failing; None: none fails, or it is due and not known to."""
        due = [since + one.seconds for one, since in self._since.items()]
        return min((one for one in due if one > self._now), default=None)

    def _look(self, trigger: Trigger, now: float, results: Sequence[Result]) -> Held | None:
        check = trigger.check.partition(":")[0]
        of_check = [one for one in results if one.check == check]
        own = [one for one in of_check if trigger.check in (one.check, one.name)]
        whole = [one for one in of_check if not one.what]
        counts = (Outcome.FAIL, Outcome.UNKNOWN) if trigger.unknown else (Outcome.FAIL,)
        bad = next((one for outcome in counts for one in own or whole if one.outcome is outcome), None)
        if bad is not None:
            since = self._since.setdefault(trigger, now)
            return Held(trigger, now - since, bad)
        if of_check and not any(one.outcome.bad for one in own or of_check):
            self._since.pop(trigger, None)
        return None
