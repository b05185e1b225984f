"""Start the services that do not run, in their order, each healthy before the next.

pyinfra prod deploys/start.py [--data service=api]
"""

from pyinfra import host

from ops.operations import services

for service in services.names(host.data.get("service")):
    services.start(name=f"Start {service}", service=service)
