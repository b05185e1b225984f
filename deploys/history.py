"""Show the runs that changed something, the newest first; or one of them, step by step, and write its report.

pyinfra prod deploys/history.py [--data limit=20] [--data run=2026-11-21T10-00-00Z-restart] [--data report=report.md]
"""

from pyinfra import host

from ops.operations import history

history.show(
    name="Show the history",
    limit=host.data.get("limit", 20),
    run=host.data.get("run"),
    report=host.data.get("report"),
)
