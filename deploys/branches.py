"""Show the branches on Neon and what they are for; make one beside the backups; delete ours that are past their rule.

pyinfra prod deploys/branches.py [--data take=7d] [--data prune=yes]
"""

from pyinfra import host

from ops.operations import branches

if host.data.get("take") is not None:
    branches.backed_up(name="Make a branch beside the backups", keep=host.data.get("take"))
if host.data.get("prune") is not None:
    branches.pruned(name="Prune the branches", sure=host.data.get("prune"))
branches.show(name="Show the branches")
