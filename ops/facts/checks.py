"""Facts about what must be true of an environment."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from ops import runner, verification
from ops.facts.asked import Asked


class Checks(Asked):
    """What every check of the environment came to, as the runner tells; nothing on other hosts.

    .. code:: python

        {"checks": [{"outcome": "fail", "check": "database", "what": "connections", "where": "",
                     "value": "93 of 97 (96 %)", "limit": "≤ 80 %", "hint": "…", "seconds": 0.04}]}
    """

    @override
    def ask(self) -> dict[str, Any]:
        if not runner.is_runner():
            return {}
        here = runner.environment()
        return {"checks": [one.to_json() for one in verification.verify(here, verification.checks(here))]}
