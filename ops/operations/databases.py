"""Operations on the database as a whole: restore a backup beside it, swap that in, swap back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyinfra.api.operation import operation

from ops import output, recorder, runner
from ops.confirmation import confirmed
from ops.operations import loss
from ops.steps import Step, Steps, on_runner, plan


@operation()
@on_runner
def restored(backup: str | None = None, confirm: str | None = None) -> Steps:
    """
    Restore a proven backup beside the database, prove it against its manifest, and swap it in. The database that was
    there is kept under another name. Shown before: what would be lost, table by table, and who is connected.

    No change when the database is restored from the newest proven backup already. A backup that is named is restored
    in any case.

    + backup: its id; none: the newest proven one
    + confirm: the environment's name, where it is protected

    **Example:**

    .. code:: python

        databases.restored(name="Restore the newest proven backup")
    """
    here = runner.environment()
    known = runner.ask("loss", backup=backup)
    id = known["backup"]["id"]
    if backup is None and known["current"].get("restored") == id:
        output.say(f"{here.database.name()} is restored from {id} already; to restore it once more: --data backup={id}")
        return
    output.table(loss.render(known))
    confirmed(here, confirm)
    yield from restoring(known)


def restoring(known: Mapping[str, Any]) -> Steps:
    """The steps of ``restored``.

    Args:
        known: what the worker's verb ``loss`` answered.
    """
    name, id = runner.environment().database.name(), known["backup"]["id"]
    words = f"Restore {id} beside {name}, as {known['beside']}, and prove it"
    plan(words)
    yield Step(words, lambda: _beside(id))
    words = f"Swap it in: {known['beside']} becomes {name}, which is kept"
    plan(words)
    yield Step(words, lambda: _tell(runner.ask("swap", show=True)))


def _beside(id: str) -> None:
    recorder.know(backup=id)
    runner.ask("beside", show=True, backup=id)


@operation()
@on_runner
def swapped_back(confirm: str | None = None) -> Steps:
    """
    Let the database that the last restore replaced take its place again. What was written since is kept under another
    name. No change when nothing was restored, or when it was undone already.

    + confirm: the environment's name, where it is protected

    **Example:**

    .. code:: python

        databases.swapped_back(name="Undo the restore")
    """
    here = runner.environment()
    name = here.database.name()
    known = runner.ask("swap", undo=True, look=True)
    if not known["changed"]:
        output.say(f"{name} was not restored, or that was undone already: there is nothing to undo")
        return
    confirmed(here, confirm)
    words = f"Swap back: {known['back']} becomes {name} again"
    plan(words)
    yield Step(words, lambda: _tell(runner.ask("swap", show=True, undo=True)))


def _tell(answer: dict[str, Any]) -> None:
    if answer["changed"]:
        recorder.know(kept=answer["kept"])
        output.say(f'kept as {answer["kept"]}; once nobody needs it, type in psql: DROP DATABASE "{answer["kept"]}"')
