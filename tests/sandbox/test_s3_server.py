from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from listening import addresses
from servers import running

from ops.sandbox.s3 import S3Server


def client(server: S3Server, secret_key: str | None = None):
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
    )


def sockets_of(server: S3Server) -> list[Path]:
    ports = {str(port + offset) for port in server.ports.values() for offset in (0, 10_000)}
    return [path for path in Path("/tmp").glob("seaweedfs-*.sock") if path.stem.split("-")[-1] in ports]


def test_it_takes_signed_writes_and_refuses_a_wrong_secret(s3: S3Server) -> None:
    client(s3).put_object(Bucket=s3.bucket, Key="signed", Body=b"content")
    assert client(s3).get_object(Bucket=s3.bucket, Key="signed")["Body"].read() == b"content"
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(s3, secret_key="wrong").put_object(Bucket=s3.bucket, Key="signed", Body=b"other")


def test_it_listens_on_loopback_only(s3: S3Server) -> None:
    assert {address for address, port in addresses(s3)} == {"127.0.0.1"}
    expected = {port + offset for port in s3.ports.values() for offset in (0, 10_000)}
    assert {port for address, port in addresses(s3)} <= expected


def test_its_keys_are_not_on_its_command_line(s3: S3Server) -> None:
    assert s3.secret_key not in " ".join(psutil.Process(s3.pid).cmdline())
    assert s3.secret_key not in s3.log.read_text()


def test_two_at_once_do_not_meet(s3: S3Server, tmp_path: Path) -> None:
    other = S3Server(tmp_path / "s3")
    with running(other):
        client(s3).put_object(Bucket=s3.bucket, Key="whose", Body=b"first")
        client(other).put_object(Bucket=other.bucket, Key="whose", Body=b"other")
        assert client(s3).get_object(Bucket=s3.bucket, Key="whose")["Body"].read() == b"first"
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            boto3.client(
                "s3",
                endpoint_url=s3.endpoint,
                region_name="us-east-1",
                aws_access_key_id=other.access_key,
                aws_secret_access_key=other.secret_key,
            ).list_objects_v2(Bucket=s3.bucket)
    assert client(s3).get_object(Bucket=s3.bucket, Key="whose")["Body"].read() == b"first"


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_after_a_restart_the_objects_are_there_and_the_ports_the_same(tmp_path: Path, ending: str) -> None:
    first = S3Server(tmp_path / "s3")
    first.start()
    client(first).put_object(Bucket=first.bucket, Key="large", Body=b"x" * 9_000_000)
    if ending == "killed":
        os.kill(first.pid, signal.SIGKILL)
    first.stop()
    assert not first.running

    second = S3Server(tmp_path / "s3", ports=first.ports, access_key=first.access_key, secret_key=first.secret_key)
    with running(second):
        assert second.ports == first.ports
        assert len(client(second).get_object(Bucket=second.bucket, Key="large")["Body"].read()) == 9_000_000


def test_a_port_that_was_taken_for_a_moment_only_is_no_failure(tmp_path: Path) -> None:
    """It was free when we looked, taken when the server wanted it, and free when we looked why."""
    server = S3Server(tmp_path / "s3")
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", server.ports["s3"]))
        stranger.listen()
        look, server._replace_taken_ports = server._replace_taken_ports, lambda: None

        def go() -> None:
            while not server.log.exists() or "not available" not in server.log.read_text():
                time.sleep(0.001)
            server._replace_taken_ports = look
            stranger.close()

        threading.Thread(target=go, daemon=True).start()
        with running(server):
            assert "not available" in server.log.read_text()


def test_no_socket_stays_behind(tmp_path: Path) -> None:
    server = S3Server(tmp_path / "s3")
    with running(server):
        # Some of another user's, which was killed, may have the same number; none of them is ours to remove.
        own = [path for path in sockets_of(server) if path.stat().st_uid == psutil.Process(server.pid).uids().real]
        assert own
    assert not [path for path in own if path.exists()]
