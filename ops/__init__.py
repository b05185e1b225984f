"""Runbook deploys on pyinfra. What an inventory imports is here."""

from ops.environment import R2, S3, Directory, Drill, Environment, Postgres, Retention
from ops.secrets import secret

__version__ = "0.1.0"

__all__ = ["R2", "S3", "Directory", "Drill", "Environment", "Postgres", "Retention", "secret"]
