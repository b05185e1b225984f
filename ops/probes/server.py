"""A database server as a role sees it, and how what is seen there is judged."""

from __future__ import annotations

from dataclasses import dataclass

from ops.checks import Database, Outcome, Result
from ops.checks.result import unknown
from ops.probes.reading import Reading

_SELF = """
    SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(),
           pg_has_role('pg_read_all_stats', 'USAGE'), quote_ident(current_user)
"""


@dataclass(frozen=True)
class Server:
    """The server of the environment's database.

    Args:
        reading: asks it.
        check: says what is looked at, and the limits.
        environment: whose it is.
        version: as people write it.
        number: of the version, as PostgreSQL compares it.
        standby: whether it follows another server.
        sees_all: whether the role sees what sessions of other roles do.
        role: as it is written in SQL.
    """

    reading: Reading
    check: Database
    environment: str
    version: str
    number: int
    standby: bool
    sees_all: bool
    role: str

    @staticmethod
    def at(reading: Reading, check: Database, environment: str) -> Server:
        """The one at the other end of a connection."""
        return Server(reading, check, environment, *reading.row(_SELF))

    @property
    def grant(self) -> str:
        """What to type so that the role sees all."""
        return f"Type in psql: GRANT pg_monitor TO {self.role}"

    def if_all_was_seen(self, result: Result) -> Result:
        """A result, unless it is good for what was seen alone, and not all was."""
        if self.sees_all or result.outcome is not Outcome.PASS:
            return result
        return unknown(f"{self.role} does not see what sessions of other roles do", self.grant)

    @property
    def triage(self) -> str:
        """What to type to see who is connected, and what they do."""
        return f"pyinfra {self.environment} deploys/triage.py"


def judged(good: bool, value: str, limit: str, hint: str, bad: Outcome = Outcome.FAIL) -> Result:
    """A result.

    Args:
        good: whether it is as it must be.
        value: what was found.
        limit: what it must be.
        hint: what to do when it is not good.
        bad: what it is then.
    """
    return Result(Outcome.PASS if good else bad, value, limit, "" if good else hint)


def percent(share: float) -> str:
    """A share for people."""
    hundredths = share * 100
    if hundredths < 0.01:
        return "0 %"
    return f"{hundredths:.0f} %" if hundredths >= 10 else f"{hundredths:.2g} %"


def listed(names: list[str], most: int = 5) -> str:
    """As many as people read, and how many more there are; empty for none."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
