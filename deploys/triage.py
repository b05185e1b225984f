"""Triage: how the environment is, on one screen. Only reads; exit code 1 when a part of it could not be seen.

pyinfra prod deploys/triage.py [--data since=1h] [--data slow=0.1s]
"""

from pyinfra import host

from ops.operations import triage

triage.shown(name="Take the picture", since=host.data.get("since", "1h"), slow=host.data.get("slow", "0.1s"))
