"""TCP ports of the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

# Even 10,000 further up they lie below the range from which Linux takes the ports of outgoing connections, so
# that none of those is in the way when a server comes back to its port.
_RANGE = range(12_000, 22_000)


def is_free(port: int, offsets: Sequence[int] = (0,)) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now.

    Args:
        port: the port in question.
        offsets: distances of further ports that the server takes along; 0 is the port itself.
    """
    for offset in offsets:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port + offset))
            except OSError:
                return False
    return True


def free(taken: set[int] | None = None, offsets: Sequence[int] = (0,)) -> int:
    """A free port, chosen at random so that servers that start at the same time seldom choose the same.

    Args:
        taken: ports that are not to be chosen although nothing listens on them yet.
        offsets: as in ``is_free``.
    """
    candidates = (port for port in random.sample(_RANGE, len(_RANGE)) if port not in (taken or set()))
    return next(port for port in candidates if is_free(port, offsets))
