"""Classify: propose what becomes of every column of production that has no rule yet, for you to read and paste.

pyinfra staging deploys/classify.py [--data backup=ID]
"""

from pyinfra import host

from ops.operations import refresh

refresh.classified(name="Propose rules for what has none", backup=host.data.get("backup"))
