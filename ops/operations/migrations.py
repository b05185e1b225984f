"""Operations on migrations: rehearse them on a copy, apply them, undo them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyinfra.api.operation import operation

from ops import output, recorder, runner
from ops.environment import Environment
from ops.errors import ConfigurationError, MigrationError, MigrationRefused
from ops.migrations import Migrations
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


@operation()
@guarded
def reverted(to: str | int, report: str | None = None) -> Steps:
    """
    Undo the migrations that were applied after one, by their own ways back, once that was rehearsed on a copy and what
    is lost by it was counted; and prove that the schema is the one of the rehearsal. No change when none was applied
    after it. What has no way back is refused before anything is done.

    + to: the migration that is to be the last one; ``base``: none is to be left
    + report: a file on this machine for the report, as Markdown

    **Example:**

    .. code:: python

        migrations.reverted(name="Undo the migrations", to="0041_prices")
    """
    here, described = _described()
    if runner.is_first_of(described.hosts):
        # pyinfra takes what is typed and all digits for a number
        yield from reverting(here, str(to), report)


def reverting(here: Environment, to: str, report: str | None = None) -> Steps:
    """The steps of ``reverted``, for an operation that finds out by itself how far to go.

    Args:
        here: the environment.
        to: the migration that is to be the last one, or ``base``.
        report: a file on this machine for the report, as Markdown.
    """
    known = runner.ask("revert", until="status", to=to)
    if not known["undo"]:
        output.say(f"no migration was applied after {to}; {here.name} is at {known['current'] or 'none'}")
        return
    output.table(migration_report.undo_table(known))
    if one_way := [one["id"] for one in known["undo"] if not one["has_down"]]:
        raise MigrationRefused(f"no way back is known of {', '.join(one_way)}", "Choose database=restore")
    words = f"Rehearse and undo {_named(known['undo'])}"
    plan(words)
    yield Step(words, lambda: _carry_out(here, "revert", report, until="proof", to=to))


def _named(migrations: list[dict[str, Any]]) -> str:
    names = [one["name"] for one in migrations]
    return f"{len(names)} migration{'s' if len(names) > 1 else ''}: {', '.join(names)}"


def _read(hotfix: str | None) -> dict[str, str] | None:
    if hotfix is None:
        return None
    path = Path(hotfix)
    try:
        return {"name": path.stem, "sql": path.read_text()}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigurationError(f"the hotfix {hotfix} cannot be read: {why}") from None


def _described() -> tuple[Environment, Migrations]:
    here = runner.environment()
    if here.migrations is None:
        raise ConfigurationError(
            f"the environment {here.name} does not say how its schema migrates",
            "Write migrations=Alembic(directory=…), Dbmate(…) or Sql(…) in its inventory",
        )
    return here, here.migrations


def _as_far_as(until: str, report: str | None, hotfix: dict[str, str] | None = None) -> Steps:
    here, described = _described()
    if not runner.is_first_of(described.hosts):
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
    words = f"{'Rehearse' if until == 'rehearsal' else 'Rehearse and apply'} {_named(known['pending'])}"
    output.table(migration_report.lint_table(known))
    plan(words)
    yield Step(words, lambda: _carry_out(here, "migrate", report, until=until, hotfix=hotfix), alone=until == "proof")


def _carry_out(here: Environment, verb: str, report: str | None, **asked: Any) -> None:
    try:
        answer = runner.ask(verb, show=True, **asked)
    except MigrationError as refused:
        if refused.report:
            _know_restore_point(refused.report)
            _tell(here, {**refused.report, "refused": refused.problem}, report)
        raise
    _tell(here, answer, report)
    _know_restore_point(answer)
    if answer.get("undone"):
        recorder.know(migrations={"from": answer["current"], "undone": answer["undone"]})
    if answer.get("applied"):
        recorder.know(migrations={"from": answer["current"], "applied": answer["applied"]})
        global _applied
        _applied = True


def _know_restore_point(answer: dict[str, Any]) -> None:
    if answer.get("restore_point"):
        recorder.know(backup=answer["restore_point"])
    if answer.get("restore_branch"):
        recorder.know(restore_branch=answer["restore_branch"])


def _tell(here: Environment, answer: dict[str, Any], report: str | None) -> None:
    output.table(migration_report.table(answer))
    if report:
        try:
            Path(report).write_text(migration_report.markdown(here.name, answer))
        except OSError as error:
            raise ConfigurationError(f"the report cannot be written to {report}: {error.strerror}") from None
        output.say(f"the report is in {report}")
