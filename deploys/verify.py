"""Verify: ask every check of the environment, all at once, and print what came of it, the worst first; or watch it.

pyinfra prod deploys/verify.py [--data check=NAME] [--data report=FILE.xml|.md|.json] [--data watch=10m]
"""

from pyinfra import host

from ops.operations import checks

check, report, watch = host.data.get("check"), host.data.get("report"), host.data.get("watch")
if watch is None:
    checks.verified(name="Verify", check=check, report=report)
else:
    checks.watched(name="Watch", lasting=watch, check=check, report=report)
