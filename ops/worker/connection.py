"""Connections to PostgreSQL, ours and those of its programs, without a secret in any argument or environment."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import psycopg
import psycopg.adapt
from psycopg.abc import Buffer

from ops.database import Postgres
from ops.errors import ConfigurationError, DatabaseError, DatabaseUnreachable, OpsError
from ops.worker.hints import hint

APPLICATION = "pyinfra-ops"
"""What ``pg_stat_activity`` calls our connections and those of the programs we start."""

ENGINE = "pyinfra-ops migration"
"""What it calls those of a migration tool, which are let into the one database that they are given."""

KEEPALIVE = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


# Those that this server knows: a role may have them set, and a long dump must not end by them.
_NO_LIMITS = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
]


def connect(
    server: Postgres, database: str | None = None, watched: Callable[[Callable[[], object]], object] | None = None
) -> psycopg.Connection:
    """Connect, in autocommit, with no limit on how long a statement may take.

    Args:
        server: where.
        database: the database, when it is not the server's own.
        watched: given the call that cuts the connection, before anything is asked on it: ``Pulse.cuts``.

    Raises:
        DatabaseUnreachable: no connection.
        DatabaseError: it refused us.
    """
    # Of a database whose encoding is none, psycopg would give bytes for texts.
    given = {**KEEPALIVE, "client_encoding": "UTF8", **server.parameters()}
    parameters = {**given, "application_name": APPLICATION}
    if database is not None:
        parameters["dbname"] = database
    try:
        connection = psycopg.connect(**parameters, autocommit=True)  # type: ignore[arg-type]
        if watched is not None:
            watched(lambda: sever(connection))
        connection.execute("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY (%s)", [_NO_LIMITS])
        # A database that was set read-only must still be swapped.
        connection.execute("SET default_transaction_read_only = off")
    except psycopg.Error as error:
        raise failure(error, parameters) from None
    return connection


class _AnyText(psycopg.adapt.Loader):
    """A text of which no byte keeps the others from being read."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode(errors="replace")


def legible(connection: psycopg.Connection) -> None:
    """Let every text that is read be one: a database without an encoding (SQL_ASCII) has any bytes in it."""
    connection.execute("SET client_encoding = 'UTF8'")
    for type in ("text", "name", "varchar", "bpchar", '"char"'):
        connection.adapters.register_loader(type, _AnyText)


def sever(connection: psycopg.Connection) -> None:
    """Cut a connection from another thread, so that whoever waits on it fails at once."""
    with suppress(OSError, psycopg.Error):
        with socket.socket(fileno=os.dup(connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)


def failure(error: psycopg.Error, parameters: dict[str, str] | None = None) -> OpsError:
    """psycopg's error as one line with a hint."""
    text = _first_line(str(error))
    where = ""
    if parameters:
        where = f"{parameters['dbname']} at {parameters['host']}:{parameters.get('port', '5432')}: "
        password = parameters.get("password")
        text = text.replace(password, "***") if password else text
    if (isinstance(error, psycopg.OperationalError) and error.sqlstate is None) or text.startswith("connection"):
        return DatabaseUnreachable(f"PostgreSQL {where}{text}", hint(text))
    return DatabaseError(f"PostgreSQL {where}{text}", hint(text))


def _first_line(text: str) -> str:
    """libpq's reason without its preamble, which names every address that it tried."""
    line = next((line for line in text.splitlines() if line.strip()), "failed without a reason")
    return re.sub(r'^connection failed: (connection to server at "[^"]*"(, port \d+)? failed: )?', "", line)


@contextmanager
def credentials(
    server: Postgres, database: str | None = None, application: str = APPLICATION
) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Environment and file descriptors for a program of PostgreSQL; it connects to ``service=ops``.

    The parameters are in a service file and the password in a password file, both mode 0600, without a name, and gone
    with the last process that has them open: not even ``kill -9`` leaves them behind.

    Yields:
        The whole environment for the program, and the descriptors to pass on to it.
    """
    parameters = {**KEEPALIVE, **server.parameters(), "application_name": application}
    if database is not None:
        parameters["dbname"] = database
    password = parameters.pop("password", "")
    for key, value in parameters.items():
        # libpq would take off the blanks, and so connect to another database than the one that is meant.
        if value != value.strip() or "\n" in value:
            raise ConfigurationError(
                f"the connection parameter {key} begins or ends with a blank, or holds a line break",
                "A service file of libpq cannot carry that",
            )
    if "\n" in password:
        raise ConfigurationError("the database's password contains a line break", "Check the secret")
    service = "".join(f"{key}={value}\n" for key, value in parameters.items())
    escaped = _escaped(password)
    # pg_dumpall connects to other databases as well; a migration is to stay in its own.
    only = "*" if application == APPLICATION else _escaped(parameters["dbname"])
    with _nameless(f"[ops]\n{service}") as services, _nameless(f"*:*:{only}:*:{escaped}\n") as passwords:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "PGAPPNAME": application,
            "PGSERVICEFILE": _path(services),
            "PGPASSFILE": _path(passwords),
        }
        yield environment, (services.fileno(), passwords.fileno())


def _escaped(field: str) -> str:
    """A field of a password file."""
    return field.replace("\\", "\\\\").replace(":", "\\:")


def _nameless(content: str) -> IO[str]:
    # A temporary file that is unlinked at once; opened again through /proc it reads from its start, for each of
    # pg_restore's parallel jobs anew.
    file = tempfile.TemporaryFile("w+")  # noqa: SIM115
    file.write(content)
    file.flush()
    return file


def _path(file: IO[str]) -> str:
    return f"/proc/self/fd/{file.fileno()}"
