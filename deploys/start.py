"""Start the services that do not run, in their order, each healthy before the next.

pyinfra prod deploys/start.py [--data service=api]
"""

from pyinfra import host

from ops.operations import places, services

chosen = places.names(host.data.get("service"))
services.find(name="Find the services", services=chosen)
for service in chosen:
    services.start(name=f"Start {service}", service=service)
