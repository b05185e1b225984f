"""Operations that tell the truth about an environment. None of them changes anything."""

from __future__ import annotations

from pyinfra import state
from pyinfra.api.operation import operation

from ops import output, runner, verification, verification_report
from ops.checks import Result
from ops.checks.result import worst
from ops.errors import ChecksFailed
from ops.operations import check_table
from ops.steps import Steps, on_runner


@operation()
@on_runner
def verified(check: str | None = None, report: str | None = None, preflight: bool = False) -> Steps:
    """
    Ask every check of the environment, all at once, and print what came of it, the worst first. A failure when one
    fails or is unknown. Never a change.

    + check: the name of one; none: all
    + report: a file to write: JUnit XML (``.xml``), Markdown (``.md``) or JSON (``.json``)
    + preflight: only those that must hold before a release as well, when the services may be what is broken

    **Example:**

    .. code:: python

        checks.verified(name="Verify")
    """
    here = runner.environment()
    asked = verification.checks(here, check, preflight)
    writer = verification_report.writer(report) if report else None
    if not state.is_executing:
        return
    results = verification.verify(here, asked)
    output.table(check_table.render(f"checks of {here.name}", results))
    output.attach("checks", [one.to_json() for one in results])
    if writer is not None:
        writer(here.name, results)
        output.say(f"written to {report}")
    require_good(here.name, results)
    yield from ()


def require_good(name: str, results: list[Result]) -> None:
    """See that nothing fails and nothing is unknown.

    Raises:
        ChecksFailed: something does, or is.
    """
    if not worst(results).bad:
        return
    bad = [one for one in results if one.outcome.bad]
    names = list(dict.fromkeys(f"{one.name} ({one.where})" if one.where else one.name for one in bad))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    hint = next((one.hint for one in bad if one.hint), "")
    raise ChecksFailed(f"{name} is not as it must be: {', '.join(names[:5])}{more}", hint)
