"""The typed description of where backups lie: a bucket behind the S3 interface, on R2, or a directory."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from ops.database import is_this_machine
from ops.described import Described
from ops.secrets import Secret

Prefix = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._/-]*$|^$", description="letters, digits, and . _ - / between them"),
]


class S3(Described):
    """A bucket behind the S3 interface.

    Args:
        bucket: its name.
        prefix: where in the bucket backups lie.
        endpoint: URL of the service; none for AWS itself.
        region: AWS region.
        access_key: access key id.
        secret_key: secret access key.
    """

    kind: Literal["s3"] = "s3"
    bucket: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="3 to 63 lower-case letters, digits, - and ."),
    ]
    prefix: Prefix = ""
    endpoint: (
        Annotated[
            str, Field(pattern=r"^https?://[^/@]+$", description="https://host or http://host:port, without a path")
        ]
        | None
    ) = None
    region: str = "us-east-1"
    access_key: Secret
    secret_key: Secret

    @property
    def location(self) -> str:
        """Where, in words."""
        path = f"{self.bucket}/{self.prefix.strip('/')}".rstrip("/")
        return f"s3://{path} at {self.endpoint or f'AWS {self.region}'}"

    @model_validator(mode="after")
    def _encrypted_on_its_way(self) -> Self:
        if self.endpoint and self.endpoint.startswith("http://"):
            host = urlsplit(self.endpoint).hostname or ""
            if not is_this_machine(host):
                raise ValueError(f"the endpoint is http://, and {host} is not this machine: write https://")
        return self


class R2(Described):
    """A bucket on Cloudflare R2.

    Args:
        account: Cloudflare's account id, 32 hexadecimal digits.
        bucket: its name.
        prefix: where in the bucket backups lie.
        jurisdiction: ``eu`` or ``fedramp`` when the bucket is bound to one.
        access_key: access key id of an R2 token.
        secret_key: secret access key of it.
    """

    kind: Literal["r2"] = "r2"
    account: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="32 hexadecimal digits")]
    bucket: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", description="3 to 63 lower-case letters, digits and -")
    ]
    prefix: Prefix = ""
    jurisdiction: Literal["eu", "fedramp"] | None = None
    access_key: Secret
    secret_key: Secret

    @property
    def location(self) -> str:
        """Where, in words."""
        return self.as_s3().location

    def as_s3(self) -> S3:
        """The same bucket, spelled out for the S3 client."""
        middle = f".{self.jurisdiction}" if self.jurisdiction else ""
        return S3(
            bucket=self.bucket,
            prefix=self.prefix,
            endpoint=f"https://{self.account}{middle}.r2.cloudflarestorage.com",
            region="auto",
            access_key=self.access_key,
            secret_key=self.secret_key,
        )


class Directory(Described):
    """A directory on the runner: a mounted disk or a network file system with atomic rename.

    Args:
        path: absolute path; it is made when it does not exist, its parent must exist.
    """

    kind: Literal["directory"] = "directory"
    path: Annotated[str, Field(pattern=r"^/", description="an absolute path")]

    @property
    def location(self) -> str:
        """Where, in words."""
        return self.path


AnyStore = Annotated[S3 | R2 | Directory, Field(discriminator="kind")]
