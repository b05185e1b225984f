"""TCP ports of the loopback interface."""

from __future__ import annotations

import random
import socket

# Below the range from which Linux takes the ports of outgoing connections, so that none of those is in the way
# when a server comes back to its port.
RANGE = range(12_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free(taken: set[int] | None = None) -> int:
    """A free port, chosen at random so that servers that start at the same time seldom choose the same.

    Args:
        taken: ports that are not to be chosen although nothing listens on them yet.
    """
    candidates = (port for port in random.sample(RANGE, len(RANGE)) if port not in (taken or set()))
    return next(port for port in candidates if is_free(port))
