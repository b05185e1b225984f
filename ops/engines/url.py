"""The URL by which a tool without libpq finds its database."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import quote, urlencode

from ops.engines.base import Target
from ops.worker.connection import connect


def url(target: Target, password: str = "", **query: str) -> str:
    """``postgresql://user@host:port/database?…``.

    Args:
        target: the database.
        password: what stands in its place; none: the tool finds it elsewhere.
        query: further parameters.
    """
    parameters = target.server.parameters()
    host, port = parameters["host"], parameters.get("port", "5432")
    if host.startswith("/"):
        query, host = {"host": host, "port": port, **query}, "localhost"
    who = quote(parameters.get("user", ""), safe="") + (f":{password}" if password else "")
    where = f"{f'{who}@' if who else ''}{host}:{port}/{quote(target.database, safe='')}"
    return f"postgresql://{where}{f'?{urlencode(query, quote_via=quote)}' if query else ''}"


def options(target: Target) -> str:
    """The limits of the target, as the parameter ``options`` of a connection carries them."""
    return " ".join(f"-c {name}={value}" for name, value in target.settings().items())


def sslmode(target: Target) -> str:
    """Of libpq's words the one that holds: what is only preferred is asked of the server, for most tools cannot."""
    mode = target.server.parameters().get("sslmode", "prefer")
    if mode not in ("prefer", "allow"):
        return mode
    with closing(connect(target.server, target.database)) as connection:
        return "require" if connection.pgconn.ssl_in_use else "disable"
