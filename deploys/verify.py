"""Verify: ask every check of the environment, all at once, and print what came of it, the worst first.

pyinfra prod deploys/verify.py [--data check=NAME] [--data report=FILE.xml|.md|.json]
"""

from pyinfra import host

from ops.operations import checks

checks.verified(name="Verify", check=host.data.get("check"), report=host.data.get("report"))
