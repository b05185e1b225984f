"""Operations on migrations: look at them, rehearse them on a copy, apply them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyinfra.api.operation import operation

from ops import output, runner
from ops.environment import Environment
from ops.errors import ConfigurationError, MigrationRefused
from ops.operations import migration_report
from ops.steps import Step, Steps, guarded, plan


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
def applied(report: str | None = None) -> Steps:
    """
    Apply the pending migrations, once they were linted and rehearsed on a copy, and prove that the schema is the one of
    the rehearsal. No change when nothing is pending.

    + report: a file on this machine for the report, as Markdown

    **Example:**

    .. code:: python

        migrations.applied(name="Apply the migrations")
    """
    yield from _as_far_as("proof", report)


def _as_far_as(until: str, report: str | None) -> Steps:
    here = runner.environment()
    if here.migrations is None:
        raise ConfigurationError(
            f"the environment {here.name} does not say how its schema migrates",
            "Write migrations=Alembic(directory=…), Dbmate(…) or Sql(…) in its inventory",
        )
    if not runner.is_first_of(here.migrations.hosts):
        return
    try:
        known = runner.ask("migrate", until="status")
    except MigrationRefused as refused:
        if refused.report:
            output.table(migration_report.lint_table(refused.report))
        raise
    if not known["pending"]:
        output.say(f"no migration is pending; {here.name} is at {known['current'] or 'none'}")
        return
    pending = [one["name"] for one in known["pending"]]
    what = f"{len(pending)} migration{'s' if len(pending) > 1 else ''}: {', '.join(pending)}"
    words = f"{'Rehearse' if until == 'rehearsal' else 'Rehearse and apply'} {what}"
    output.table(migration_report.lint_table(known))
    plan(words)
    yield Step(words, lambda: _carry_out(here, until, report))


def _carry_out(here: Environment, until: str, report: str | None) -> None:
    try:
        answer = runner.ask("migrate", show=True, until=until)
    except MigrationRefused as refused:
        if refused.report:
            _tell(here, {**refused.report, "refused": refused.problem}, report)
        raise
    _tell(here, answer, report)


def _tell(here: Environment, answer: dict[str, Any], report: str | None) -> None:
    output.table(migration_report.table(answer))
    if report:
        try:
            Path(report).write_text(migration_report.markdown(here.name, answer))
        except OSError as error:
            raise ConfigurationError(f"the report cannot be written to {report}: {error.strerror}") from None
        output.say(f"the report is in {report}")
