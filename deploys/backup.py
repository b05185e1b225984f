"""Take a backup when the newest is too old, check it as it lies in the store, prune by the retention rules.

pyinfra prod deploys/backup.py [--data max_age=20h]
"""

from pyinfra import host

from ops.operations import backups

backups.take(name="Take a backup", max_age=host.data.get("max_age", "20h"))
backups.check(name="Check it as stored")
backups.prune(name="Prune what the retention rules let go")
