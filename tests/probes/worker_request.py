"""What the worker is asked, for checks that need neither a store nor a database."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from ops import probes
from ops.checks import Check, Result
from ops.environment import root
from ops.secrets import revealed
from ops.worker.request import Request

_REST = {
    "environment": "test",
    "database_name": "shop",
    "owner": "tests@here",
    "store": {"kind": "directory", "path": "/nowhere"},
}


def asked(check: Check) -> list[Result]:
    """Ask one check, in this process."""
    return probes.ask(check, Request(**_REST))


def asked_one(check: Check) -> Result:
    """Ask one check that has one result."""
    (result,) = asked(check)
    return result


def started(*checks: Check) -> subprocess.Popen[str]:
    """Begin to ask checks, in a worker process of their own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.worker", "verify"],
        cwd=root(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({**_REST, "checks": [revealed(check) for check in checks]}) + "\n")
    process.stdin.close()
    process.stdin = None
    return process


def by_worker(*checks: Check) -> tuple[list[list[Result]], str]:
    """Ask checks in a worker process; their results, and all that it printed."""
    process = started(*checks)
    printed, errors = process.communicate(timeout=120)
    answer: dict[str, Any] = json.loads(printed)["answer"]
    assert "error" not in answer, answer
    return [[Result.from_json(one) for one in each] for each in answer["results"]], printed + errors
