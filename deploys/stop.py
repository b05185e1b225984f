"""Stop the services, the last one first.

pyinfra prod deploys/stop.py [--data service=api]
"""

from pyinfra import host

from ops.operations import services

for service in reversed(services.names(host.data.get("service"))):
    services.stop(name=f"Stop {service}", service=service)
