"""Names that must be set in a file on a host. No value leaves it."""

from __future__ import annotations

from collections.abc import Iterator

from ops.checks import Outcome, Result, Settings
from ops.checks.result import unknown
from ops.platforms import settings
from ops.platforms.shell import Shell


def ask(check: Settings, at: Shell) -> Iterator[Result]:
    """See ``ops.probes``."""
    limit = "set: " + ", ".join(check.names)
    ran = at.run(f"LC_ALL=C; export LC_ALL\n{settings.script(check.file)}", check.timeout)
    if ran.code:
        why = ran.said.rpartition(": ")[2]
        if why == "No such file or directory":
            yield Result(Outcome.FAIL, f"there is no {check.file}", limit, "Write it")
        else:
            yield unknown(f"{check.file} could not be read: {why}", "May the user that connects read it?")
        return
    missing = settings.unset(ran.out, check.names)
    if missing:
        yield Result(Outcome.FAIL, f"not set: {', '.join(missing)}", limit, f"Write them into {check.file}")
    else:
        yield Result(Outcome.PASS, "all are set", limit)
