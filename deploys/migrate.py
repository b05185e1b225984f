"""Migrate: lint, restore point, rehearsal on a copy, then the real database, and the proof that it is as rehearsed.

pyinfra prod deploys/migrate.py [--data report=migrations.md] [--data hotfix=HOTFIX_001.sql]
"""

from pyinfra import host

from ops.operations import migrations, services

migrations.applied(name="Apply the migrations", report=host.data.get("report"), hotfix=host.data.get("hotfix"))
services.well(name="See that the services are well", _if=migrations.were_applied)
