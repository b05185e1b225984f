"""Runbook deploys on pyinfra. What an inventory imports is here."""

from ops.environment import R2, S3, Directory, Drill, Environment, Postgres, Retention
from ops.migrations import Alembic, CloudRunJob, Command, Dbmate, Prisma, Sql
from ops.secrets import secret
from ops.services import CloudRun, Docker, Fly, Nginx, Pm2, Queues, Railway, Supervisor, Systemd, Workers

__version__ = "0.1.0"

__all__ = [
    "R2",
    "S3",
    "Alembic",
    "CloudRun",
    "CloudRunJob",
    "Command",
    "Dbmate",
    "Directory",
    "Docker",
    "Drill",
    "Environment",
    "Fly",
    "Nginx",
    "Pm2",
    "Postgres",
    "Prisma",
    "Queues",
    "Railway",
    "Retention",
    "Sql",
    "Supervisor",
    "Systemd",
    "Workers",
    "secret",
]
