"""Maintenance mode: nginx answers 503 with a page; where there is no nginx, the services are stopped.

pyinfra prod deploys/maintenance.py --data mode=on|off [--data service=edge]
"""

from pyinfra import host

from ops.operations import maintenance, services

on = maintenance.wanted(host.data.get("mode"))
for service, has_a_page in maintenance.in_order(host.data.get("service"), on):
    if has_a_page:
        maintenance.page(name=f"Maintenance of {service}: {'on' if on else 'off'}", service=service, on=on)
    elif on:
        services.stop(name=f"Stop {service}", service=service)
    else:
        services.start(name=f"Start {service}", service=service)
