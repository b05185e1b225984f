"""The typed description of a database: PostgreSQL anywhere, or on Neon by the names of its project and branch."""

from __future__ import annotations

import ipaddress
import ssl
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from ops.clock import duration
from ops.described import Described
from ops.errors import ConfigurationError
from ops.secrets import Secret
from ops.services import Id, Url


class Postgres(Described):
    """A PostgreSQL database, as a URL or in parts.

    Args:
        url: ``postgresql://user:password@host:port/database?sslmode=…``, usually a secret.
        host: name, address, or the directory of a socket.
        port: TCP port.
        database: the database's name; beside a URL, it spares resolving the secret just to know the name.
        user: the role to connect as.
        password: its password.
        sslmode: libpq's word; default ``verify-full``, and ``prefer`` for this machine itself.
        sslrootcert: file with the certificates to trust; default the system's.
        bin_dir: where pg_dump and pg_restore of the server's version lie.
        deadline: seconds without any progress after which a dump or restore is cut.
    """

    url: Secret | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    database: str | None = None
    user: str | None = None
    password: Secret | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    sslrootcert: str | None = None
    bin_dir: str | None = None
    deadline: Annotated[float, Field(gt=0)] = 300

    @model_validator(mode="after")
    def _url_or_parts(self) -> Self:
        parts = [name for name in ("host", "port", "user", "password") if getattr(self, name) is not None]
        if self.url is not None and parts:
            raise ValueError(f"write either url or parts, not both (url and {', '.join(parts)})")
        if self.url is None and not (self.host and self.database):
            raise ValueError("write url=secret(…), or host=…, database=…, user=…, password=secret(…)")
        if self.host:
            _refuse_pooler(self.host)
        return self

    def parameters(self) -> dict[str, str]:
        """libpq's connection parameters, password included.

        Raises:
            SecretMissing: the URL or the password cannot be found.
            ConfigurationError: the URL is malformed, names no database, or goes through Neon's pooler.
        """
        found = {
            "host": self.host,
            "port": self.port and str(self.port),
            "dbname": self.database,
            "user": self.user,
            "password": self.password and self.password.reveal(),
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
        }
        given = {key: value for key, value in found.items() if value}
        if self.url is not None:
            given = {**_parse(self.url), **given}
        for trick in ("hostaddr", "service", "passfile"):
            if trick in given:
                raise ConfigurationError(f"{self.url!r} has the parameter {trick}", "Name the host in the URL itself")
        if "," in given.get("host", ""):
            raise ConfigurationError(f"{self.url!r} names several hosts", "Name the one to back up from")
        if not given.get("dbname") or not given.get("host"):
            raise ConfigurationError(f"{self.url!r} names no {'host' if given.get('dbname') else 'database'}")
        _refuse_pooler(given["host"])
        if not is_this_machine(given["host"]):
            given.setdefault("sslmode", "verify-full")
        if given.get("sslmode", "").startswith("verify-"):
            given.setdefault("sslrootcert", ssl.get_default_verify_paths().cafile or "system")
        return given

    def plain(self) -> Postgres:
        """The same database, for whoever needs to connect to it and nothing else."""
        return self

    def shares_server(self, other: Postgres) -> bool:
        """Whether two databases are on the same host and port, as far as their addresses tell."""
        ours, theirs = self.parameters(), other.parameters()
        return (ours["host"], ours.get("port", "5432")) == (theirs["host"], theirs.get("port", "5432"))

    def name(self) -> str:
        """The database's name, which is part of where its backups lie."""
        return self.database or self.parameters()["dbname"]


class Neon(Postgres):
    """A database on Neon. Its host and password are asked for at Neon's API, and always are those of the branch.

    Args:
        project: id of the project, such as ``falling-sun-123456``.
        branch: the branch's name.
        database: the database's name.
        role: the role to connect as.
        api_key: a key that may read the project; to branch and to restore, one that may write.
        restore_points: how long the branches are kept that migrations leave to go back to, such as ``7d``.
        api: base URL.
    """

    project: Id
    branch: Annotated[str, Field(min_length=1, max_length=256)] = "main"
    database: str
    role: str
    api_key: Secret
    restore_points: str = "7d"
    api: Url = "https://console.neon.tech/api/v2"

    @model_validator(mode="after")
    def _url_or_parts(self) -> Self:
        given = [name for name in ("url", "host", "port", "user", "password") if getattr(self, name) is not None]
        if given:
            raise ValueError(f"{given[0]} is Neon's to say: write project, branch, database and role alone")
        if not 0 < duration(self.restore_points) <= 30 * 86400:
            raise ValueError(f"restore_points={self.restore_points}: Neon keeps a branch that expires for up to 30d")
        return self

    def parameters(self) -> dict[str, str]:
        """libpq's connection parameters of the branch, password included.

        Raises:
            SecretMissing: the API key cannot be found.
            OpsError: Neon does not know the names, or does not answer.
        """
        return self.plain().parameters()

    def plain(self) -> Postgres:
        """The same database by its URL; whoever has that may not use Neon's API.

        Raises:
            SecretMissing: the API key cannot be found.
            OpsError: Neon does not know the names, or does not answer.
        """
        return self.on(self.branch)

    def on(self, branch: str) -> Postgres:
        """The database of the same name on a branch.

        Args:
            branch: its name.

        Raises:
            OpsError: Neon does not know the names, or does not answer.
        """
        limits = {name: getattr(self, name) for name in ("sslrootcert", "bin_dir") if getattr(self, name) is not None}
        mode = self.sslmode or "verify-full"  # Neon's own URLs say require, which takes any certificate
        return Postgres(url=_uri(self, branch), database=self.database, sslmode=mode, deadline=self.deadline, **limits)


def _kind(given: Any) -> str:
    return "neon" if isinstance(given, Neon) or (isinstance(given, dict) and "project" in given) else "postgres"


AnyDatabase = Annotated[
    Annotated[Neon, Tag("neon")] | Annotated[Postgres, Tag("postgres")],
    Discriminator(_kind),
]


@cache
def _uris() -> dict[tuple[str, ...], Secret]:
    """Those that were asked for already: every operation needs one."""
    return {}


def _uri(described: Neon, branch: str) -> Secret:
    key = (described.api, described.project, branch, described.database, described.role)
    if key not in _uris():
        from ops.clouds.neon import Project

        _uris()[key] = Project(described).uri(branch)
    return _uris()[key]


def _parse(url: Secret) -> dict[str, str]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {key: str(value) for key, value in conninfo_to_dict(url.reveal()).items() if value is not None}
    except ProgrammingError:
        # libpq's message quotes the URL, password included.
        raise ConfigurationError(
            f"{url!r} is not a connection URL",
            "It reads postgresql://user:password@host:port/database; in a password @ is %40, # %23, / %2F, % %25",
        ) from None


def _refuse_pooler(host: str) -> None:
    """A transaction pooler loses the exported snapshot and session settings that a dump rests on."""
    if host.split(".")[0].endswith("-pooler"):
        raise ConfigurationError(
            f"the host {host} is Neon's connection pooler, through which pg_dump and migrations fail",
            f"Use the direct host: {host.replace('-pooler', '', 1)}",
        )


def is_this_machine(host: str) -> bool:
    if host == "localhost" or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
