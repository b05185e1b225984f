"""Restart the services, instance after instance; the first that is not healthy afterwards stops the roll.

pyinfra prod deploys/restart.py [--data service=api] [--data batch=2]
"""

from pyinfra import host

from ops.operations import places, services

chosen = places.names(host.data.get("service"))
services.find(name="Find the services", services=chosen)
for service in chosen:
    services.restart(name=f"Restart {service}", service=service, batch=host.data.get("batch", 1))
