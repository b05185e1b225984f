"""What a server's processes listen on."""

from __future__ import annotations

import psutil

from ops.sandbox.server import Server


def addresses(server: Server) -> set[tuple[str, int]]:
    """Addresses and TCP ports on which the server and its children accept connections."""
    process = psutil.Process(server.pid)
    family = [process, *process.children(recursive=True)]
    return {
        (connection.laddr.ip, connection.laddr.port)
        for member in family
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
