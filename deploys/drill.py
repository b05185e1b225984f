"""Prove a backup: restore it into a scratch database and compare every table and the schema with its manifest.

pyinfra prod deploys/drill.py [--data backup=2026-11-21T10-00-00Z] [--data max_age=7d]
"""

from pyinfra import host

from ops.operations import backups

backups.drill(name="Prove the backup", backup=host.data.get("backup"), max_age=host.data.get("max_age"))
