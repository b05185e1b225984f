"""Operations on the records of runs: show them."""

from __future__ import annotations

from pathlib import Path

from pyinfra import state
from pyinfra.api.operation import operation

from ops import output, record, runner
from ops.errors import ConfigurationError
from ops.operations import run_table
from ops.report import report as written
from ops.steps import Steps, on_runner


@operation()
@on_runner
def show(limit: int | str = 20, run: str | None = None, report: str | None = None) -> Steps:
    """
    Print the newest runs as a table, or one run's steps. Never a change.

    + limit: how many runs
    + run: the id of one, or the time at which it began
    + report: a file on this machine for that run's report, as Markdown

    **Example:**

    .. code:: python

        history.show(name="Show the history", limit=20)
    """
    if report and not run:
        raise ConfigurationError("it is not said which run the report is to be about", "Add --data run=<id>")
    most = _number(limit)
    if not state.is_executing:
        return
    here, store = runner.environment().name, runner.documents()
    if run is None:
        newest = record.runs(store, here, most)
        output.table(run_table.runs(f"runs of {here} in {store.location}", newest))
        output.attach("runs", [one.to_json() for one in newest])
        return
    found = record.find(store, here, str(run))
    output.table(run_table.steps(found))
    output.attach("runs", [found.to_json()])
    if report:
        try:
            Path(report).write_text(written(found))
        except OSError as error:
            raise ConfigurationError(f"the report cannot be written to {report}: {error.strerror}") from None
        output.say(f"the report is in {report}")
    yield from ()


def _number(limit: int | str) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigurationError(f"limit={limit} is no number of runs", "Write --data limit=20")
    return limit
