"""Restore the newest proven backup beside the database, prove it, swap it in; the old database is kept.

pyinfra prod deploys/restore.py [--data backup=ID] [--data confirm=prod]
pyinfra prod deploys/restore.py --data undo=yes [--data confirm=prod]
pyinfra prod deploys/restore.py --data branch=NAME [--data confirm=prod]    # its branch on Neon gets that one's content
"""

from pyinfra import host

from ops.operations import databases, restore_points, services

confirm = host.data.get("confirm")
if host.data.get("undo"):
    databases.swapped_back(name="Swap back what the last restore replaced", confirm=confirm)
elif host.data.get("branch"):
    restore_points.gone_back(name="Go back to a branch, and prove it", branch=host.data.get("branch"), confirm=confirm)
else:
    databases.restored(name="Restore beside, prove, swap in", backup=host.data.get("backup"), confirm=confirm)
services.well(name="See that the services are well")
