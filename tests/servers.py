"""Servers that are sure to be stopped."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ops.sandbox.server import Server

# What makes a server quick that need not survive a power cut.
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Start a server, and stop it whatever becomes of this process: the lifeline's pipe closes when we die."""
    server.start()
    lifeline = subprocess.Popen(
        ["sh", "-c", 'read -r line; kill -INT "$0"', str(server.pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    finally:
        lifeline.kill()
        lifeline.communicate()
        server.stop()
        shutil.rmtree(server.directory)
