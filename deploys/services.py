"""Show the services: where each runs, which release serves since when, which it could go back to, whether it is healthy.

pyinfra prod deploys/services.py
"""

from ops.operations import services

services.look(name="Ask every service")
services.show(name="Show the services")
