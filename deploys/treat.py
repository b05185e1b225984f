"""Treat what triage showed: exactly one treatment a run. Each says first how many it would touch.

pyinfra prod deploys/treat.py --data idle=5m [--data application=api] [--data confirm=prod]
pyinfra prod deploys/treat.py --data terminate=PID [--data confirm=prod]
pyinfra prod deploys/treat.py --data vacuum=TABLE
pyinfra prod deploys/treat.py --data purge=RULE [--data batch=1000] [--data confirm=prod]
pyinfra prod deploys/treat.py --data pause=QUEUE      or: --data resume=QUEUE
"""

from pyinfra import host

from ops import treatments
from ops.operations import queues, rows, sessions, tables

application, batch, confirm = host.data.get("application"), host.data.get("batch"), host.data.get("confirm")
idle, terminate, vacuum = host.data.get("idle"), host.data.get("terminate"), host.data.get("vacuum")
purge, pause, resume = host.data.get("purge"), host.data.get("pause"), host.data.get("resume")
given = {"idle": idle, "terminate": terminate, "vacuum": vacuum, "purge": purge, "pause": pause, "resume": resume}

match treatments.chosen(**given, application=application, batch=batch):
    case "idle":
        sessions.terminated_idle(name="End idle connections", older_than=idle, application=application, confirm=confirm)
    case "terminate":
        sessions.terminated(name="End the session", pid=terminate, confirm=confirm)
    case "vacuum":
        tables.vacuumed(name=f"Vacuum {vacuum}", table=vacuum)
    case "purge":
        rows.purged(name=f"Purge {purge}", rule=purge, batch=1000 if batch is None else batch, confirm=confirm)
    case "pause":
        queues.paused(name=f"Pause {pause}", queue=pause)
    case "resume":
        queues.paused(name=f"Resume {resume}", queue=resume, paused=False)
