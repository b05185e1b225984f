"""Ask whether the database is where the code expects it."""

from __future__ import annotations

from collections.abc import Iterable

from ops.checks import MigrationsCurrent, Outcome, Result
from ops.errors import ConfigurationError
from ops.probes.around import Around
from ops.probes.server import listed

_LIMIT = "none pending, none failed"


def ask(check: MigrationsCurrent, at: Around) -> Iterable[Result]:
    """One result. What is wrong is a failure; that it could not be looked at is unknown.

    Raises:
        ConfigurationError: the environment does not say how its schema migrates.
        OpsError: the engine, the database or the host that has the code could not be asked.
    """
    described = at.environment.migrations
    if described is None:
        raise ConfigurationError(
            f"the environment {at.environment.name} does not say how its schema migrates",
            "Write migrations=Alembic(directory=…), Dbmate(…) or Sql(…) in its inventory",
        )
    found = at.worker(described.hosts, "migrate", look=True)
    wrong = [one["problem"] for one in found["doubts"]]
    hints = [one["hint"] for one in found["doubts"]]
    if found["pending"]:
        names = found["pending"]
        wrong.append(f"{listed(names)} {'is' if len(names) == 1 else 'are'} pending")
        hints.append(f"Type: pyinfra {at.environment.name} deploys/migrate.py")
    current = f"at {found['current']}" if found["current"] else "no migration is applied, and there is none"
    if wrong:
        yield Result(Outcome.FAIL, "; ".join(wrong), _LIMIT, hints[0])
    else:
        yield Result(Outcome.PASS, current, _LIMIT)
