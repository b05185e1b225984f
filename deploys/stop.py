"""Stop the services, the last one first.

pyinfra prod deploys/stop.py [--data service=api]
"""

from pyinfra import host

from ops.operations import places, services

chosen = places.names(host.data.get("service"))
services.find(name="Find the services", services=chosen)
for service in reversed(chosen):
    services.stop(name=f"Stop {service}", service=service)
