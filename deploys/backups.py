"""Show the backups: id, age, size, rows, whether and when they were proven, how long a restore took.

pyinfra prod deploys/backups.py
"""

from ops.operations import backups

backups.show(name="Show the backups")
