"""A shop whose releases bring migrations: what rollbacks and releases are tried on."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
from servers import running

from ops.sandbox.supervisor import RELEASES, WebServer
from ops.stores import open_store

ONE, TWO, THREE = RELEASES
ADDITIVE = "ALTER TABLE customers ADD COLUMN birthday date;"
BREAKING = "ALTER TABLE customers RENAME COLUMN name TO full_name;"


class Story:
    """A shop on release 1; then release 2 with an additive, release 3 with a breaking migration."""

    def __init__(self, pyinfra, worker, web: WebServer, directory: Path) -> None:
        self.pyinfra, self.worker, self.web, self.directory = pyinfra, worker, web, directory
        directory.mkdir()
        # Where the lock on a host lies: another test may have a service of the same name at the same time.
        pyinfra.secrets["HOME"] = str(directory.parent)
        services = f"""services=[
        Supervisor(
            name="web", hosts="runner", programs=["web_1", "web_2"], configuration={str(web.configuration)!r},
            command={web.command!r}, releases={str(web.releases)!r}, within=15, settle=0.5,
            ports={[web.ports[name] for name in web.instances]!r}, health="http://127.0.0.1:{{port}}/",
        )
    ],
    migrations=Sql(directory={str(directory)!r}),
    drill="""
        text = pyinfra.inventory.read_text().replace("Retention, ", "Retention, Sql, Supervisor, ")
        pyinfra.inventory.write_text(text.replace("drill=", services, 1))

    def type(self, *words: str, code: int = 0):
        run = self.pyinfra.type("-y", *words)
        assert run.code == code, run.stderr
        assert "Traceback" not in run.stderr
        return run

    def write(self, name: str, up: str, down: str | None = None) -> None:
        (self.directory / f"{name}.sql").write_text(up)
        if down:
            (self.directory / f"{name}.down.sql").write_text(down)

    def activate(self, release: str) -> None:
        self.type("ops.operations.services.activate", "service=web", f"release={release}")

    def release_two(self) -> None:
        self.write("0001_birthday", ADDITIVE, "ALTER TABLE customers DROP COLUMN birthday;")
        self.type("deploys/migrate.py")
        self.activate(TWO)

    def release_three(self, way_back: bool = True) -> None:
        back = "ALTER TABLE customers RENAME COLUMN full_name TO name;" if way_back else None
        self.type("deploys/backup.py", "--data", "max_age=0s")
        self.type("deploys/drill.py")
        self.write("0002_rename", BREAKING, back)
        self.type("deploys/migrate.py")
        self.activate(THREE)

    def serving(self) -> list[str]:
        ports = [self.web.ports[name] for name in self.web.instances]
        return [urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode() for port in ports]

    def columns(self) -> set[str]:
        with closing(psycopg.connect(self.worker.shop.url)) as connection:
            query = "SELECT attname FROM pg_attribute WHERE attrelid = 'customers'::regclass AND NOT attisdropped"
            return {name for (name,) in connection.execute(query)}

    def state(self) -> tuple:
        """What must stay as it is when nothing is done."""
        return self.serving(), self.columns()

    def answers(self) -> set[str]:
        """What instances answer, of which one may just be restarted."""
        found = set()
        for name in self.web.instances:
            with suppress(OSError):
                url = f"http://127.0.0.1:{self.web.ports[name]}/"
                found.add(urllib.request.urlopen(url, timeout=5).read().decode())
        return found

    def is_back(self) -> bool:
        try:
            return self.serving() == [TWO, TWO] and "name" in self.columns()
        except OSError:
            return False

    def forward_again(self) -> None:
        """As before the rollback: the database that was kept, release 3, and no record of having gone back."""
        assert self.worker.ask("swap", undo=True).answer["changed"]
        store = open_store(self.worker.store)
        gone = [one.key for one in store.list("test/releases/") if b"-rollback" in store.read(one.key)[0]]
        store.delete(gone)
        link = self.web.releases / "current"
        link.unlink()
        link.symlink_to(f"releases/{THREE}")
        control = [self.web.command, "-c", str(self.web.configuration), "restart", "all"]
        subprocess.run(control, check=True, capture_output=True)

    def execute(self, statement: str) -> None:
        with closing(psycopg.connect(self.worker.shop.url, autocommit=True)) as connection:
            connection.execute(statement)


@contextmanager
def begun(pyinfra, worker, place: Path) -> Iterator[Story]:
    """A story at its beginning: release 1 serves."""
    web = WebServer(place / "web")
    with running(web):
        story = Story(pyinfra, worker, web, place / "migrations")
        story.activate(ONE)
        yield story
