"""Operations on backups: take, check, drill, prune, show."""

from __future__ import annotations

from typing import Any

from pyinfra import host, state
from pyinfra.api.operation import operation

from ops import clock, output, runner
from ops.environment import Environment
from ops.errors import BackupMissing
from ops.facts.backups import Backups
from ops.operations import backup_table
from ops.steps import Steps, Work, on_runner, plan


@operation()
@on_runner
def take(max_age: str | int | float | None = None) -> Steps:
    """
    Take a backup, unless a complete one is young enough.

    + max_age: no change when the newest backup that counts is younger, such as ``20h``; none: always take one

    **Example:**

    .. code:: python

        backups.take(name="Take a backup", max_age="20h")
    """
    here = runner.environment()
    seconds = None if max_age is None else clock.duration(max_age)
    known = host.get_fact(Backups)
    newest = _newest(known)
    if newest and seconds is not None and clock.within(newest["age"], seconds):
        output.say(f"No backup needed: {newest['id']} is {clock.age(newest['age'])} old, allowed are {max_age}")
        return
    words = f"Take a backup of {here.name}/{here.database.name()} into {known['location']}"
    plan(f"{words} ({_why_take(newest)})")
    yield Work("dump", words, max_age=seconds)


@operation()
@on_runner
def check() -> Steps:
    """
    Read the newest backup as it lies in the store and compare size and SHA-256 with its manifest. Never a change.

    **Example:**

    .. code:: python

        backups.check(name="Check it as stored")
    """
    if not state.is_executing:
        output.say("Read the newest backup as stored and compare its hash")
        return
    answer = runner.ask("check", show=True)
    backup = answer["backup"]
    output.say(f"{backup['id']} is stored as written: {_megabytes(backup)}, SHA-256 right")
    yield from ()


@operation()
@on_runner
def drill(backup: str | None = None, max_age: str | int | float | None = None) -> Steps:
    """
    Prove a backup by a restore into a scratch database that is compared with its manifest, row by row count.

    + backup: the id of a backup, which is then drilled in any case; none: the newest that counts
    + max_age: no change when any backup was proven within this time; none: no change when the newest is proven

    **Example:**

    .. code:: python

        backups.drill(name="Prove the newest backup", max_age="7d")
    """
    here = runner.environment()
    seconds = None if max_age is None else clock.duration(max_age)
    known = host.get_fact(Backups)
    chosen = _by_id(known, str(backup)) if backup else _newest(known)
    if chosen is None:
        raise BackupMissing(
            f"there is no {f'backup {backup}' if backup else 'sound backup'} of {here.name}/{here.database.name()}",
            f"Look at them: pyinfra {here.name} deploys/backups.py",
        )
    enough = None if backup else _proof(known, chosen, seconds)
    if enough:
        output.say(f"No drill needed: {enough['id']} was proven at {enough['proven']}")
        for failed in (b for b in known["backups"] if b["id"] > enough["id"] and b["problems"]):
            output.say(f"But {failed['id']}, which is newer, is {failed['state']}: {failed['problems'][0]}")
        return
    words = f"Prove the backup {chosen['id']} by a restore into a scratch database on {_server(here)}"
    plan(words)
    yield Work("drill", words, backup=chosen["id"] if backup else None, max_age=seconds)


@operation()
@on_runner
def prune() -> Steps:
    """
    Remove the backups that no retention rule keeps; never the newest proven one, and none while none is proven.

    **Example:**

    .. code:: python

        backups.prune(name="Prune what the retention rules let go")
    """
    known = host.get_fact(Backups)
    going = [backup for backup in known["backups"] if not backup["keep"]]
    if not going:
        output.say(f"Nothing to prune: {_counted(known['backups'])}, and the rules keep every one")
        return
    for backup in going:
        plan(f"Remove {backup['id']} ({_megabytes(backup)}): {backup['why']}")
    yield Work("prune", f"Remove {len(going)} of {_counted(known['backups'])}")


@operation()
@on_runner
def show() -> Steps:
    """
    Print the backups as a table. Never a change.

    **Example:**

    .. code:: python

        backups.show(name="Show the backups")
    """
    here = runner.environment()
    known = host.get_fact(Backups)
    output.table(backup_table.render(f"{here.name}/{here.database.name()} in {known['location']}", known))
    output.attach("backups", known["backups"])
    yield from ()


def _newest(known: dict[str, Any]) -> dict[str, Any] | None:
    sound = (backup for backup in known["backups"] if backup["state"] in ("proven", "unproven"))
    return next((backup for backup in sound if backup["age"] > -clock.SKEW), None)


def _by_id(known: dict[str, Any], id: str) -> dict[str, Any] | None:
    return next((backup for backup in known["backups"] if backup["id"] == id), None)


def _proof(known: dict[str, Any], chosen: dict[str, Any] | None, within: float | None) -> dict[str, Any] | None:
    """The backup whose proof makes a drill needless, if there is one."""
    if within is None:
        return chosen if chosen and chosen["state"] == "proven" else None
    return next((b for b in known["backups"] if b["state"] == "proven" and clock.within(b["proven_age"], within)), None)


def _counted(backups: list[dict[str, Any]]) -> str:
    return f"{len(backups)} backup{'' if len(backups) == 1 else 's'}"


def _why_take(newest: dict[str, Any] | None) -> str:
    return f"the newest, {newest['id']}, is {clock.age(newest['age'])} old" if newest else "there is none yet"


def _server(here: Environment) -> str:
    return here.drill_server().parameters()["host"]


def _megabytes(backup: dict[str, Any]) -> str:
    return "size unknown" if backup["size"] is None else f"{backup['size'] / 1e6:.1f} MB"
