"""Operations on rows: delete those of a rule that the inventory declares."""

from __future__ import annotations

from typing import Any

from pyinfra.api.operation import operation

from ops import output, recorder, runner, treatments
from ops.confirmation import confirmed
from ops.errors import ConfigurationError, printable
from ops.steps import Step, Steps, on_runner, plan

_shown: dict[str, int] = {}
"""How many rows were shown in the plan, by rule: no more are deleted."""


@operation()
@on_runner
def purged(rule: str, batch: int = 1000, confirm: str | None = None) -> Steps:
    """
    Delete the rows of a rule for good, in batches, each a short transaction of its own. Shown before: how many. Rows
    that somebody works on meanwhile stay for the next time. No change when there is none.

    + rule: the name of one of the environment's ``purges``
    + batch: how many rows go at once
    + confirm: the environment's name, where it is protected

    **Example:**

    .. code:: python

        rows.purged(name="Delete old jobs", rule="old-jobs", batch=1000)
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 100_000:
        raise ConfigurationError(f"batch={batch} is no number of rows from 1 to 100000", "Write --data batch=1000")
    here = runner.environment()
    described = treatments.purge(here.purges, str(rule), here.name)
    treatment = {"kind": "delete_rows", "rule": described.model_dump(), "batch": batch}
    found = runner.ask("purge", look=True, treatment=treatment)
    count = min(found["rows"], _shown.get(described.name, found["rows"]))
    if not count:
        output.say(f"{found['table']} has no rows of the purge {described.name}")
        return
    for line in _also(found):
        output.say(printable(line))
    confirmed(here, confirm)
    _shown.setdefault(described.name, count)
    words = printable(f"Delete {count:,} rows of {found['table']} for good, {batch:,} at once: {described.where}")
    plan(words)
    yield Step(words, lambda: _delete(described.name, {**treatment, "most": count}))


def _delete(rule: str, treatment: dict[str, Any]) -> None:
    answer = runner.ask("purge", show=True, treatment=treatment)
    recorder.know(purged={rule: answer["deleted"]})
    output.say(f"{answer['deleted']:,} rows of {answer['table']} are deleted")
    if answer["left"] is None:
        output.say(f"how many rows of the purge {rule} are left could not be counted: run it again")
    elif answer["left"]:
        output.say(
            f"{answer['left']:,} rows of the purge {rule} are there by now, or were held by others: run it again"
        )


def _also(found: dict[str, Any]) -> list[str]:
    """What becomes of the rows of other tables that refer to these."""
    lines = []
    if found["deleted_too"]:
        lines.append(
            f"deleted with them, and not counted: rows that refer to them in {', '.join(found['deleted_too'])}"
        )
    if found["changed_too"]:
        lines.append(f"rows that refer to them lose that in {', '.join(found['changed_too'])}")
    return lines
