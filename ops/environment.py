"""The typed description of an environment: what an inventory file says is true of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from ops.checks import AnyCheck, Watch
from ops.database import AnyDatabase, Neon, Postgres
from ops.described import Described, Name
from ops.errors import ConfigurationError
from ops.migrations import AnyMigrations
from ops.refresh import BranchOf, Refresh
from ops.schedule import Schedule
from ops.secrets import Secret
from ops.services import AnyService, Queues
from ops.site import HERE
from ops.storage import AnyStore
from ops.treatments import Purge


class Retention(Described):
    """Which backups to keep; a backup stays when any of the rules keeps it.

    Args:
        newest: the newest N, whatever their age.
        hourly: the newest backup of each of the last N hours that have one.
        daily: … of each of the last N days that have one.
        weekly: … of each of the last N ISO weeks that have one.
        monthly: … of each of the last N months that have one.
    """

    newest: Annotated[int, Field(ge=1)] = 3
    hourly: Annotated[int, Field(ge=0)] = 0
    daily: Annotated[int, Field(ge=0)] = 7
    weekly: Annotated[int, Field(ge=0)] = 4
    monthly: Annotated[int, Field(ge=0)] = 6


class Drill(Described):
    """Where and how a backup is proved by a restore.

    Args:
        server: a server to restore into; its ``database`` is only connected to, the scratch database is made
            beside it. None: the environment's own server, which a protected environment refuses.
        on_protected: allow the own server of a protected environment after all.
        jobs: parallel jobs of pg_restore.
    """

    server: AnyDatabase | None = None
    on_protected: bool = False
    jobs: Annotated[int, Field(ge=1, le=64)] = 2


class Environment(Described):
    """Everything that is true of one environment.

    Args:
        name: short name; part of where its backups lie.
        protected: drills never restore onto its own server.
        database: the database to back up.
        store: where backups lie.
        retention: which backups stay.
        drill: where and how backups are proved.
        migrations: how the database's schema migrates.
        services: what serves, in the order in which it is started.
        queues: the account on Cloudflare whose queues are paused and purged.
        purges: rules by which rows may be deleted for good.
        checks: what must be true; None: what must be of every environment: services, database, migrations,
            backups, store.
        watch: what a watch waits for, and what is done then.
        refresh: how it gets another environment's data, masked; a protected one never does.
        notify: who is told how a rollback ended: URLs as apprise knows them, which a Slack webhook's is as well.
        schedule: what runs by itself on the runner, once ``deploys/schedule.py`` has put it there.
    """

    name: Name
    protected: bool = False
    database: AnyDatabase
    store: AnyStore
    retention: Retention = Retention()
    drill: Drill = Drill()
    migrations: AnyMigrations | None = None
    services: tuple[AnyService, ...] = ()
    queues: Queues | None = None
    purges: tuple[Purge, ...] = ()
    checks: tuple[AnyCheck, ...] | None = None
    watch: Watch = Watch()
    refresh: Refresh | None = None
    notify: tuple[Secret, ...] = ()
    schedule: Schedule | None = None

    @field_validator("services")
    @classmethod
    def _each_has_a_name_of_its_own(cls, services: tuple[AnyService, ...]) -> tuple[AnyService, ...]:
        names = [service.name for service in services]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two services are called {twice}")
        return services

    @field_validator("purges")
    @classmethod
    def _purges_are_told_apart(cls, purges: tuple[Purge, ...]) -> tuple[Purge, ...]:
        names = [purge.name for purge in purges]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two purges are called {twice}")
        return purges

    @model_validator(mode="after")
    def _checks_are_told_apart(self) -> Self:
        titles = [check.title for check in self.checks or ()]
        twice = next((title for title in titles if titles.count(title) > 1), None)
        if twice:
            raise ValueError(f"two checks are called {twice}: give one a name=…")
        return self

    @model_validator(mode="after")
    def _never_over_what_is_protected(self) -> Self:
        if self.refresh is None:
            return self
        if self.protected:
            raise ValueError("a protected environment is never refreshed from another: take refresh= out")
        source = self.refresh.source
        if source.environment == self.name:
            raise ValueError(f"refresh takes from {self.name} itself: name the environment that the data comes from")
        mine, theirs = self.database, source.neon if isinstance(source, BranchOf) else None
        if isinstance(mine, Neon) and theirs and (mine.project, mine.branch) == (theirs.project, theirs.branch):
            raise ValueError("refresh takes from the very branch that it would replace")
        return self

    def group(
        self, *hosts: str | tuple[str, dict[str, Any]], **data: Any
    ) -> tuple[list[str | tuple[str, dict[str, Any]]], dict[str, Any]]:
        """A group of hosts that belong to this environment, as pyinfra's inventories write it.

        Args:
            hosts: names, or names with data of that one host, such as ``("db-1", {"ssh_port": 2222})``.
            data: of all of them, such as ``ssh_user="backup"``.
        """
        here = os.environ.get(HERE)  # set for a job, which is on the runner itself

        def seen(one: str | tuple[str, dict[str, Any]]) -> str | tuple[str, dict[str, Any]]:
            name, own = (one, None) if isinstance(one, str) else one
            return one if name != here else "@local" if own is None else ("@local", own)

        return [seen(one) for one in hosts], {"environment": self, **data}

    def to_json(self) -> dict[str, Any]:
        """What ``debug-inventory --json`` shows: every field, no secret."""
        return self.model_dump(mode="json")

    def drill_server(self) -> Postgres:
        """The server that drills restore into.

        Raises:
            ConfigurationError: the environment is protected and names no other server.
        """
        if not self.protected or self.drill.on_protected:
            return self.drill.server or self.database
        if self.drill.server is not None and not self.drill.server.shares_server(self.database):
            return self.drill.server
        if self.drill.server is not None:
            raise ConfigurationError(
                f"the drill's server is the server of the protected environment {self.name} itself",
                "Name another in Drill(server=…), or allow it: Drill(on_protected=True)",
            )
        raise ConfigurationError(
            f"the environment {self.name} is protected and names no server to restore into",
            "Write drill=Drill(server=Postgres(url=secret(…))) in its inventory, or Drill(on_protected=True)",
        )


def root() -> Path:
    """The directory that holds this package."""
    return Path(__file__).resolve().parent.parent
