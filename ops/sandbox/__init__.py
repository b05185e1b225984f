"""The embedded default: a real PostgreSQL and a real S3 server on this machine, with a shop to operate on."""

from ops.sandbox.sandbox import Sandbox, sandbox

__all__ = ["Sandbox", "sandbox"]
