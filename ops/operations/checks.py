"""Operations that tell the truth about an environment. None of them changes anything."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pyinfra import state
from pyinfra.api.operation import operation

from ops import clock, output, runner, verification, verification_report
from ops.checks import Check, Result
from ops.checks.result import by_severity, worst
from ops.environment import Environment
from ops.errors import ChecksFailed, ConfigurationError, TriggerHeld
from ops.operations import check_table
from ops.steps import Steps, on_runner
from ops.vigil import Held, Vigil


@operation()
@on_runner
def verified(check: str | int | float | None = None, report: str | None = None) -> Steps:
    """
    Ask every check of the environment, all at once, and print what came of it, the worst first. A failure when one
    fails or is unknown. Never a change.

    + check: the name of one; none: all
    + report: a file to write: JUnit XML (``.xml``), Markdown (``.md``) or JSON (``.json``)

    **Example:**

    .. code:: python

        checks.verified(name="Verify")
    """
    here = runner.environment()
    asked = verification.checks(here, check)
    writer = verification_report.writer(report) if report else None
    if not state.is_executing:
        return
    results = verification.verify(here, asked)
    show(here.name, results, writer)
    require_good(here.name, results)
    yield from ()


@operation()
@on_runner
def watched(lasting: str | int, check: str | int | float | None = None, report: str | None = None) -> Steps:
    """
    Ask every check again and again, a line a round, until the time is over or a trigger of the environment holds: a
    failure that names it. Never a change.

    + lasting: for how long, such as ``10m``
    + check: the name of one; none: all
    + report: a file to write about the last round: ``.xml``, ``.md`` or ``.json``

    **Example:**

    .. code:: python

        checks.watched(name="Watch", lasting="10m")
    """
    watching = Watching(runner.environment(), lasting, check, report)
    if state.is_executing:
        watching.run()
    yield from ()


class Watching:
    """An environment that is watched.

    A round begins as often as the environment says, and at the very moment at which a trigger would come to hold.

    Args:
        here: the environment.
        lasting: for how long.
        check: the name of one; none: all.
        report: a file to write about the last round.

    Raises:
        ConfigurationError: what was given cannot be meant.
    """

    def __init__(
        self,
        here: Environment,
        lasting: str | int,
        check: str | int | float | None = None,
        report: str | None = None,
    ) -> None:
        self._here = here
        self._seconds = clock.duration(lasting)
        self._asked = verification.checks(here, check)
        self._writer = verification_report.writer(report) if report else None
        _require_triggers(here, self._asked)

    def run(self) -> None:
        """Watch, and say how it was in the end.

        Raises:
            TriggerHeld: one did.
            ChecksFailed: none did, but in the last round not all was well.
        """
        results, held = self._rounds()
        show(self._here.name, results, self._writer)
        if held is not None:
            lasted = clock.age(held.seconds)
            error = TriggerHeld(f"the trigger {held.trigger} holds since {lasted}: {held}", held.result.hint)
            error.check = held.result.check
            raise error
        output.say(f"watched for {clock.age(self._seconds)}: no trigger held")
        require_good(self._here.name, results)

    def _rounds(self) -> tuple[list[Result], Held | None]:
        """The results of the last round, and the trigger that holds; None when the time was over before."""
        vigil, every = Vigil(self._here.watch.triggers), clock.duration(self._here.watch.every)
        began = time.monotonic()
        end = began + self._seconds
        while True:
            results = verification.verify(self._here, self._asked)
            failing = vigil.round(began, results)
            said = "; ".join(f"{one} (for {clock.age(one.seconds)} of {one.trigger.lasting})" for one in failing[:2])
            output.note(f"{clock.now():%H:%M:%S} {check_table.counted(results)}{f': {said}' if said else ''}")
            if failing and failing[0].holds:
                return results, failing[0]
            due = vigil.due()
            following = began + every if due is None else min(began + every, due)
            if following > end:
                return results, None
            time.sleep(max(0.0, following - time.monotonic()))
            began = time.monotonic()


def _require_triggers(here: Environment, asked: Sequence[Check]) -> None:
    titles = {one.title for one in asked}
    for trigger in here.watch.triggers:
        if trigger.check.partition(":")[0] not in titles:
            raise ConfigurationError(
                f"a trigger of {here.name} waits for the check {trigger.check}, which is not asked",
                f"There are: {', '.join(sorted(titles))}",
            )


def show(name: str, results: list[Result], writer: verification_report.Writer | None = None) -> None:
    """Print results, and put them into what ``--json`` prints and into a report.

    Args:
        name: the environment's.
        results: of its checks.
        writer: of the report; None: there is none.
    """
    output.table(check_table.render(f"checks of {name}", results))
    output.attach("checks", [one.to_json() for one in results])
    if writer is not None:
        output.say(f"written to {writer(name, results)}")


def require_good(name: str, results: list[Result]) -> None:
    """See that nothing fails and nothing is unknown.

    Raises:
        ChecksFailed: something does, or is.
    """
    if not worst(results).bad:
        return
    bad = [one for one in by_severity(results) if one.outcome.bad]
    names = list(dict.fromkeys(one.full_name for one in bad))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    hint = next((one.hint for one in bad if one.hint), "")
    raise ChecksFailed(f"{name} is not as it must be: {', '.join(names[:5])}{more}", hint)
