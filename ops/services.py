"""The typed description of services: where each runs, how its health is asked for."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ops.described import Described, Name
from ops.secrets import Secret

AbsolutePath = Annotated[str, Field(pattern=r"^/.*$", description="an absolute path")]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:-]*$", description="letters, digits, and . _ @ : -")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$", description="a URL: http://… or https://…")]
Port = Annotated[int, Field(ge=1, le=65535)]
Account = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="32 hexadecimal digits")]


class Service(Described):
    """What is true of a service wherever it runs.

    Args:
        name: short name, for ``--data service=…``.
        health: URL that answers 2xx or 3xx when an instance is healthy. On a host it is asked on that host, for
            every instance: ``{port}`` stands for the instance's port. None: running is all that is asked for.
        within: seconds within which an instance that was started must be healthy.
        settle: seconds for which it must then stay so.
        requires: names of secrets and settings that must be present where it runs.
    """

    name: Name
    health: Url | None = None
    within: Annotated[float, Field(gt=0)] = 60
    settle: Annotated[float, Field(ge=0)] = 3
    requires: tuple[str, ...] = ()


class OnHosts(Service):
    """A service on hosts of ours.

    Args:
        hosts: the group of the inventory.
        ports: of each instance, in their order.
        env_file: the file on the host that its settings come from; ``requires`` is looked up there.
    """

    hosts: str
    ports: tuple[Port, ...] = ()
    env_file: AbsolutePath | None = None

    def instances(self) -> int | None:
        """How many there are on each host; None where only the platform knows."""
        return None

    @model_validator(mode="after")
    def _a_port_for_each(self) -> Self:
        by_port = self.health and "{port}" in self.health
        if by_port and not self.ports:
            raise ValueError("health has {port} in it, so write ports=[…], one for each instance")
        if by_port and self.instances() not in (None, len(self.ports)):
            raise ValueError(f"there are {self.instances()} instances, but {len(self.ports)} ports")
        if self.requires and not self.env_file:
            raise ValueError("requires needs env_file=…, where the names are looked up")
        return self


class Systemd(OnHosts):
    """Units of systemd.

    Args:
        units: those of one host, such as ``["api@1", "api@2"]``; none: the service's name.
        releases: the directory that holds ``releases/<id>`` and the link ``current``; None: there are no releases.
    """

    kind: Literal["systemd"] = "systemd"
    units: tuple[Id, ...] = ()
    releases: AbsolutePath | None = None

    def instances(self) -> int:
        """See ``OnHosts``."""
        return len(self.units) or 1


class Supervisor(OnHosts):
    """Programs of supervisord.

    Args:
        configuration: supervisord's configuration file.
        programs: those of one host; none: the service's name.
        releases: the directory that holds ``releases/<id>`` and the link ``current``; None: there are no releases.
        command: supervisorctl, where it is not in PATH.
    """

    kind: Literal["supervisor"] = "supervisor"
    configuration: AbsolutePath = "/etc/supervisor/supervisord.conf"
    programs: tuple[Id, ...] = ()
    releases: AbsolutePath | None = None
    command: str = "supervisorctl"

    def instances(self) -> int:
        """See ``OnHosts``."""
        return len(self.programs) or 1


class Pm2(OnHosts):
    """A process of pm2, with all its instances.

    Args:
        process: pm2's name for it; none: the service's name.
        home: ``PM2_HOME``; none: ``~/.pm2`` of the user that connects.
        releases: the directory that holds ``releases/<id>`` and the link ``current``; None: there are no releases.
        command: pm2, where it is not in PATH.
    """

    kind: Literal["pm2"] = "pm2"
    process: Id | None = None
    home: AbsolutePath | None = None
    releases: AbsolutePath | None = None
    command: str = "pm2"


class Nginx(OnHosts):
    """nginx itself; its releases are versions of its configuration, kept beside it.

    Args:
        configuration: the main file.
        versions: the directory that holds ``releases/<id>``, each a version of the file, and ``served.log``.
        pid: the file that the configuration names after ``pid``.
        error_log: the one of the whole server, in which nginx says why a reload did not take.
        maintenance: the directory that holds ``server.conf``, to be included by the server blocks that can be put
            into maintenance; the path of ``health`` stays open.
        retry_after: seconds after which clients are told to come back during maintenance.
        command: nginx, where it is not in PATH.
    """

    kind: Literal["nginx"] = "nginx"
    configuration: AbsolutePath = "/etc/nginx/nginx.conf"
    versions: AbsolutePath = "/etc/nginx/versions"
    pid: AbsolutePath = "/run/nginx.pid"
    error_log: AbsolutePath = "/var/log/nginx/error.log"
    maintenance: AbsolutePath = "/etc/nginx/maintenance"
    retry_after: Annotated[int, Field(ge=1)] = 300
    command: str = "nginx"


class Docker(OnHosts):
    """Containers of Docker; releases are tags of their image.

    Args:
        containers: those of one host; none: the service's name. With ``compose`` they are services of the project.
        compose: the directory of a compose project, whose file names the image as ``${TAG}`` from its ``.env``.
        image: without the tag; which releases there are is asked of the host's images.
        command: docker, where it is not in PATH.
    """

    kind: Literal["docker"] = "docker"
    containers: tuple[Id, ...] = ()
    compose: AbsolutePath | None = None
    image: str
    command: str = "docker"

    def instances(self) -> int:
        """See ``OnHosts``."""
        return len(self.containers) or 1


class Fly(Service):
    """An app on Fly.io, whose machines are its instances and whose images are its releases.

    Args:
        app: its name.
        token: an access token for it.
        api: base URL of the Machines API.
        web: base URL of Fly's other API, which knows the releases and the log.
    """

    kind: Literal["fly"] = "fly"
    app: Id
    token: Secret
    api: Url = "https://api.machines.dev/v1"
    web: Url = "https://api.fly.io"


class CloudRun(Service):
    """A service on Google Cloud Run, whose revisions are its releases.

    Args:
        project: id of the Google Cloud project.
        region: such as ``us-east1``.
        service: Cloud Run's name for it; none: the service's name.
        token: an access token; None: application default credentials, by google-auth.
        api: base URL.
        logging: base URL of Cloud Logging, where its log is.
    """

    kind: Literal["cloudrun"] = "cloudrun"
    project: Id
    region: Id
    service: Id | None = None
    token: Secret | None = None
    api: Url = "https://run.googleapis.com/v2"
    logging: Url = "https://logging.googleapis.com/v2"


class Workers(Service):
    """A script on Cloudflare Workers, whose versions are its releases.

    Args:
        account: id of the account, 32 hexadecimal digits.
        script: Cloudflare's name for it; none: the service's name.
        token: an API token.
        api: base URL.
    """

    kind: Literal["workers"] = "workers"
    account: Account
    script: Id | None = None
    token: Secret
    api: Url = "https://api.cloudflare.com/client/v4"


class Queues(Described):
    """The queues of an account on Cloudflare.

    Args:
        account: id of the account, 32 hexadecimal digits.
        token: an API token.
        api: base URL.
    """

    account: Account
    token: Secret
    api: Url = "https://api.cloudflare.com/client/v4"


class Railway(Service):
    """A service on Railway, whose deployments are its releases.

    Args:
        project: id of the project.
        environment: id of Railway's environment.
        service: id of the service.
        token: an account or workspace token, or with ``project_token`` one of the project.
        project_token: whether the token is a project's.
        api: URL of the GraphQL API.
    """

    kind: Literal["railway"] = "railway"
    project: str
    environment: str
    service: str
    token: Secret
    project_token: bool = False
    api: Url = "https://backboard.railway.com/graphql/v2"


AnyService = Annotated[
    Systemd | Supervisor | Pm2 | Nginx | Docker | Fly | CloudRun | Workers | Railway, Field(discriminator="kind")
]
