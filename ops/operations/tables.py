"""Operations on tables: vacuum and analyse one."""

from __future__ import annotations

from typing import Any

from pyinfra.api.operation import operation

from ops import clock, output, recorder, runner
from ops.errors import printable
from ops.steps import Step, Steps, on_runner, plan


@operation()
@on_runner
def vacuumed(table: str) -> Steps:
    """
    Vacuum and analyse a table; others read and write it meanwhile. No change when no row of it is dead and nothing was
    changed since it was last analysed.

    + table: as it is written in SQL, with its schema where that is not in the search path

    **Example:**

    .. code:: python

        tables.vacuumed(name="Vacuum", table="orders")
    """
    treatment = {"kind": "vacuum_table", "table": str(table)}
    found = runner.ask("vacuum", look=True, treatment=treatment)
    name = printable(f"{found['schema']}.{found['name']}")
    if found["fresh"]:
        output.say(f"{name} has no dead rows, and nothing was changed in it since it was analysed")
        return
    rows = f"{found['dead']:,} of {found['dead'] + found['live']:,} rows are dead, {found['size'] / 1e6:,.1f} MB"
    words = f"Vacuum and analyse {name}: {rows}"
    plan(words)
    yield Step(words, lambda: _vacuum(name, treatment))


def _vacuum(name: str, treatment: dict[str, Any]) -> None:
    answer = runner.ask("vacuum", show=True, treatment=treatment)
    recorder.know(vacuumed=name)
    gone = max(0, answer["before"] - answer["dead"])
    output.say(f"{name} is vacuumed and analysed after {answer['seconds']:.1f} s: {gone:,} dead rows are gone")
    if answer["dead"]:
        output.say(f"{answer['dead']:,} dead rows stay{_why(answer['holder'])}")


def _why(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return ", because a transaction that has begun before they died may still read them"
    application = f" ({holder['application']})" if holder["application"] else ""
    since = "" if holder["seconds"] is None else f", open for {clock.age(max(0.0, holder['seconds']))},"
    who = printable(f"{holder['pid']} {holder['role']}{application}")
    return f", because the transaction of {who}{since} may still read them"
