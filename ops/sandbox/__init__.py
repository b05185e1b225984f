"""The embedded default: a real PostgreSQL, S3 server and supervised web service on this machine."""

from ops.sandbox.sandbox import Sandbox, sandbox

__all__ = ["Sandbox", "sandbox"]
