"""What to do about PostgreSQL's complaints, ours to give because it gives none."""

from __future__ import annotations

_HINTS = {
    "server version mismatch": "Install the client tools of the server's version on the runner",
    'FATAL:  role "': "Check the user's name in the environment",
    "password authentication failed": "Check the password in the environment's secret",
    "no password supplied": "Name the password in the environment: password=secret(…)",
    "Connection refused": "Is the server running, and are host and port right?",
    "lock timeout": "A table stayed locked, by a migration perhaps; run this again when that is over",
    "timeout": "Is the host reachable from the runner?",
    "could not translate host name": "Check the host name",
    "Name or service not known": "Check the host name",
    "failed to resolve host": "Check the host name",
    "certificate verify failed": "Check host name and sslrootcert; do not switch verification off",
    "permission denied": "Grant the role what it lacks",
    "row-level security": "Give the role BYPASSRLS, so that no row is left out",
    "No space left": "Free disk space on the database server",
    "is not available": "Install that extension on the server that restores",
    "starting up": "Wait until the server has recovered, then run this again",
    "shutting down": "Run this again when the server is back",
    "terminating connection": "Run this again when the server is back",
    "server closed the connection": "Run this again when the server is back; its log says why it went",
    "too many clients": "Free connections, or raise max_connections",
    "remaining connection slots": "Free connections, or raise max_connections",
    'role "': "Create that role on this server, NOLOGIN is enough: a policy or a grant names it",
    "shared_preload_libraries": "Have the server load that library, as the source does",
    "does not exist": "Check the names in the environment; if something was dropped meanwhile, run this again",
}


def hint(said: str) -> str:
    """What to do about a complaint.

    Args:
        said: PostgreSQL's own words, or those of one of its programs, in English.
    """
    return next(
        (advice for words, advice in _HINTS.items() if words in said), "Look at the server's log, then run this again"
    )
