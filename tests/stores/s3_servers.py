"""S3 servers of others, run as programs of the virtual environment."""

from __future__ import annotations

import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from ops import S3


@contextmanager
def serving(program: str, *arguments: str, port: int, **environment: str) -> Iterator[None]:
    """Run a server of the virtual environment as long as the block runs."""
    command = [str(Path(sysconfig.get_path("scripts")) / program), *arguments]
    variables = {"PATH": "/usr/bin:/bin", **environment}
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not listens(port):
                assert process.poll() is None, f"{program} ended"
                assert time.monotonic() < deadline, f"{program} does not listen"
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_bucket(description: S3, **options: str) -> None:
    boto3.client(
        "s3",
        endpoint_url=description.endpoint,
        region_name=description.region,
        aws_access_key_id=description.access_key.reveal(),
        aws_secret_access_key=description.secret_key.reveal(),
        **options,
    ).create_bucket(Bucket=description.bucket)


def described(endpoint: str) -> S3:
    return S3(endpoint=endpoint, bucket="backups", access_key="AKIAEXAMPLE", secret_key="example-secret-key")
