"""What the stand-in of Neon keeps about a branch and its compute, and how it tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from standins.neon_compute import Compute

REGION = "eu-central-1.aws.neon.tech"


@dataclass(frozen=True)
class Moment:
    """A moment in a branch's history that can be gone back to, and the real database that holds it."""

    time: datetime
    lsn: str
    database: str


@dataclass
class Branch:
    """A branch, and the real database that is its content."""

    id: str
    name: str
    database: str
    created: datetime
    parent: str | None = None
    lsn: str | None = None
    time: datetime | None = None
    default: bool = False
    protected: bool = False
    expires: datetime | None = None
    lifetime: timedelta | None = None
    state: str = "ready"
    reset: datetime | None = None
    kept: bool = False
    """Whether it is what was kept of a root that went back in its own history; such a root can be deleted."""
    history: list[Moment] = field(default_factory=list)

    def told(self, project: str) -> dict[str, Any]:
        """As Neon tells it."""
        told = {
            "id": self.id,
            "project_id": project,
            "name": self.name,
            "current_state": self.state,
            "state_changed_at": text(self.created),
            "creation_source": "console",
            "created_at": text(self.created),
            "updated_at": text(self.reset or self.created),
            "default": self.default,
            "primary": self.default,
            "protected": self.protected,
            "cpu_used_sec": 0,
            "active_time_seconds": 0,
            "compute_time_seconds": 0,
            "written_data_bytes": 0,
            "data_transfer_bytes": 0,
            "parent_id": self.parent,
            "parent_lsn": self.lsn,
            "parent_timestamp": self.time and text(self.time),
            "expires_at": self.expires and text(self.expires),
            "ttl_interval_seconds": self.lifetime and round(self.lifetime.total_seconds()),
            "last_reset_at": self.reset and text(self.reset),
        }
        return {key: value for key, value in told.items() if value is not None}


@dataclass
class Endpoint:
    """The compute of a branch."""

    id: str
    branch: str
    compute: Compute
    created: datetime
    state: str = "active"
    starts: int = 0
    """How often somebody who connected started it."""

    def told(self, project: str) -> dict[str, Any]:
        """As Neon tells it."""
        return {
            "id": self.id,
            "host": "127.0.0.1",
            "proxy_host": REGION,
            "project_id": project,
            "branch_id": self.branch,
            "region_id": "aws-eu-central-1",
            "autoscaling_limit_min_cu": 0.25,
            "autoscaling_limit_max_cu": 2,
            "type": "read_write",
            "current_state": self.state,
            "pooler_enabled": False,
            "pooler_mode": "transaction",
            "disabled": False,
            "passwordless_access": True,
            "creation_source": "console",
            "created_at": text(self.created),
            "updated_at": text(self.created),
            "settings": {"pg_settings": {}},
            "suspend_timeout_seconds": 0,
            "provisioner": "k8s-neonvm",
        }

    def uri(self, role: str, password: str, database: str, pooled: bool = False) -> str:
        """What to connect to. Nobody listens at the pooler's host: whoever asks for that has taken the wrong one."""
        host = f"{self.id}-pooler.{REGION}" if pooled else f"127.0.0.1:{self.compute.port}"
        return f"postgresql://{role}:{quote(password, safe='')}@{host}/{database}?sslmode=require"


def seconds(time: datetime) -> datetime:
    """A time as exactly as Neon keeps it."""
    return time.replace(microsecond=0)


def text(time: datetime) -> str:
    """A time in Neon's words."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
