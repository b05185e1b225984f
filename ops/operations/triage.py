"""Operations that show how an environment is. None of them changes anything."""

from __future__ import annotations

from pyinfra import state
from pyinfra.api.operation import operation

from ops import clock, output, runner, triage
from ops.errors import ChecksFailed
from ops.operations import triage_screen
from ops.steps import Steps, on_runner


@operation()
@on_runner
def shown(since: str = "1h", slow: str = "0.1s") -> Steps:
    """
    Print a picture of the environment on one screen: who is connected and who waits for whom, errors in the logs,
    queues, upstreams, what was done last, what is slow, and what wants upkeep. A failure when a part of it is unknown,
    however good or bad the others are. Never a change.

    + since: for how long lines of logs count
    + slow: what a statement takes on average to be shown

    **Example:**

    .. code:: python

        triage.shown(name="Take the picture", since="1h")
    """
    here = runner.environment()
    age, limit = clock.duration(since), clock.duration(slow)
    if not state.is_executing:
        return
    taken = triage.picture(here, age, limit)
    output.table(triage_screen.render(taken, str(since), str(slow)))
    output.attach("triage", taken)
    if missing := triage.unknown(taken):
        names = ", ".join(list(missing)[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise ChecksFailed(f"not all of {here.name} could be seen: {names}", next(filter(None, missing.values()), ""))
    yield from ()
