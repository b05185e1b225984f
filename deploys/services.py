"""Show the services: where each runs, which release serves since when, what it could go back to, and its health.

pyinfra prod deploys/services.py
"""

from ops.operations import services

services.look(name="Ask every service")
services.show(name="Show the services")
