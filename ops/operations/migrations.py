"""Operations on migrations: look at them, rehearse them on a copy, apply them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyinfra.api.operation import operation

from ops import output, recorder, runner
from ops.environment import Environment
from ops.errors import ConfigurationError, MigrationError
from ops.operations import migration_report
from ops.steps import Step, Steps, guarded, plan

_applied = False


def were_applied() -> bool:
    """Whether this run has applied migrations, as a condition for what comes after: ``_if=migrations.were_applied``."""
    return _applied


@operation()
@guarded
def rehearsed(report: str | None = None) -> Steps:
    """
    Rehearse the pending migrations on a copy of the database: up, down and up again, with the locks they take. A change
    only in that a backup is taken when the newest is too old; no change at all when nothing is pending.

    + report: a file on this machine for the report, as Markdown

    **Example:**

    .. code:: python

        migrations.rehearsed(name="Rehearse the migrations", report="rehearsal.md")
    """
    yield from _as_far_as("rehearsal", report)


@operation()
@guarded
def applied(report: str | None = None, hotfix: str | None = None) -> Steps:
    """
    Apply the pending migrations, once they were linted and rehearsed on a copy, and prove that the schema is the one of
    the rehearsal. No change when nothing is pending.

    + report: a file on this machine for the report, as Markdown
    + hotfix: a file of SQL on this machine that is to go the same way, once, in place of what is pending

    **Example:**

    .. code:: python

        migrations.applied(name="Apply the migrations")
    """
    yield from _as_far_as("proof", report, _read(hotfix))


def _read(hotfix: str | None) -> dict[str, str] | None:
    if hotfix is None:
        return None
    path = Path(hotfix)
    try:
        return {"name": path.stem, "sql": path.read_text()}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigurationError(f"the hotfix {hotfix} cannot be read: {why}") from None


def _as_far_as(until: str, report: str | None, hotfix: dict[str, str] | None = None) -> Steps:
    here = runner.environment()
    if here.migrations is None:
        raise ConfigurationError(
            f"the environment {here.name} does not say how its schema migrates",
            "Write migrations=Alembic(directory=…), Dbmate(…) or Sql(…) in its inventory",
        )
    if not runner.is_first_of(here.migrations.hosts):
        return
    try:
        known = runner.ask("migrate", until="status", hotfix=hotfix)
    except MigrationError as refused:
        if refused.report:
            output.table(migration_report.lint_table(refused.report))
        raise
    if not known["pending"]:
        done = f"the hotfix {hotfix['name']} was applied already" if hotfix else "no migration is pending"
        output.say(f"{done}; {here.name} is at {known['current'] or 'none'}")
        return
    pending = [one["name"] for one in known["pending"]]
    what = f"{len(pending)} migration{'s' if len(pending) > 1 else ''}: {', '.join(pending)}"
    words = f"{'Rehearse' if until == 'rehearsal' else 'Rehearse and apply'} {what}"
    output.table(migration_report.lint_table(known))
    plan(words)
    yield Step(words, lambda: _carry_out(here, until, report, hotfix), alone=until == "proof")


def _carry_out(here: Environment, until: str, report: str | None, hotfix: dict[str, str] | None) -> None:
    try:
        answer = runner.ask("migrate", show=True, until=until, hotfix=hotfix)
    except MigrationError as refused:
        if refused.report:
            _tell(here, {**refused.report, "refused": refused.problem}, report)
        raise
    _tell(here, answer, report)
    if answer.get("restore_point"):
        recorder.know(backup=answer["restore_point"])
    if answer["changed"]:
        recorder.know(migrations={"from": answer["current"], "applied": answer["applied"]})
        global _applied
        _applied = True


def _tell(here: Environment, answer: dict[str, Any], report: str | None) -> None:
    output.table(migration_report.table(answer))
    if report:
        try:
            Path(report).write_text(migration_report.markdown(here.name, answer))
        except OSError as error:
            raise ConfigurationError(f"the report cannot be written to {report}: {error.strerror}") from None
        output.say(f"the report is in {report}")
