"""Show who is at work on the environment; keep it by hand, so that nobody else deploys meanwhile; or break the lock.

pyinfra prod deploys/lock.py [--data take=2h --data reason="…"] [--data break=yes --data confirm=prod]
"""

from pyinfra import host

from ops.operations import lock

if host.data.get("break") is not None:
    lock.break_(name="Break the lock", sure=host.data.get("break"), confirm=host.data.get("confirm"))
if host.data.get("take") is not None:
    lock.take(name="Take the lock", lasting=host.data.get("take"), reason=host.data.get("reason"))
lock.show(name="Show the lock")
