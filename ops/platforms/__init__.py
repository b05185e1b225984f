"""Where a service runs. One file a variety; a new one is a file, a description, and a line in this table."""

from __future__ import annotations

import importlib

from ops.errors import ConfigurationError
from ops.platforms.base import Instance, Platform, Release, State, Status
from ops.platforms.shell import Shell
from ops.services import OnHosts, Service

__all__ = ["Instance", "Platform", "Release", "State", "Status", "open_platform"]

_PLATFORMS = {
    "systemd": "SystemdPlatform",
    "supervisor": "SupervisorPlatform",
    "pm2": "Pm2Platform",
    "nginx": "NginxPlatform",
    "docker": "DockerPlatform",
    "fly": "FlyPlatform",
    "cloudrun": "CloudRunPlatform",
    "workers": "WorkersPlatform",
    "railway": "RailwayPlatform",
}


def open_platform(service: Service, shell: Shell | None = None) -> Platform:
    """A service where it runs.

    Args:
        service: its description.
        shell: on the host at hand; none for a cloud.
    """
    kind: str = service.kind  # type: ignore[attr-defined]
    # Loaded when needed: each cloud has imports of its own.
    variety = getattr(importlib.import_module(f"ops.platforms.{kind}"), _PLATFORMS[kind])
    if not isinstance(service, OnHosts):
        return variety(service)  # type: ignore[no-any-return]
    if shell is None:
        raise ConfigurationError(f"{service.name} runs on hosts of ours, and there is none at hand")
    return variety(service, shell)  # type: ignore[no-any-return]
