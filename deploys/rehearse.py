"""Rehearse the pending migrations on a copy of the database; the real one is not touched.

pyinfra prod deploys/rehearse.py [--data report=rehearsal.md]
"""

from pyinfra import host

from ops.operations import migrations

migrations.rehearsed(name="Rehearse the migrations", report=host.data.get("report"))
