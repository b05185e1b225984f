"""S3 under faults of network and server, and the rules of R2 that a local server does not enforce."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from s3_servers import described, make_bucket, serving
from streams import Stream, content

from ops import R2, S3
from ops.errors import ObjectMissing, PreconditionFailed, StoreDenied, StoreError, StoreUnreachable, WeakStore
from ops.sandbox import ports
from ops.stores import multipart, open_store
from ops.stores.conditional import require_conditional_writes
from ops.stores.s3 import S3Store

MIB = 2**20
PART = 8 * MIB


class Hasty(S3Store):
    """Waits for less long."""

    connect_timeout = 1.0
    read_timeout = 1.0
    tries = 3


class Patient(Hasty):
    """Waits until a busy machine has answered, so that nothing is sent twice that no fault was asked for."""

    read_timeout = 20.0


@pytest.fixture
def store(behind: S3) -> Hasty:
    """Behind the proxy."""
    return Hasty(behind)


@pytest.fixture
def patient(behind: S3) -> Patient:
    """Behind the proxy, for tests that count what goes over the wire."""
    return Patient(behind)


@pytest.fixture
def direct(store_s3: S3) -> S3Store:
    """The same store, past the proxy."""
    return S3Store(store_s3)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1, signed by itself, with its key beside it."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    (directory / "cert.pem").write_bytes(signed.public_bytes(form))
    (directory / "key.pem").write_bytes(
        key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "cert.pem"


@pytest.fixture(scope="session")
def over_tls(certificate: Path) -> Iterator[S3]:
    """A bucket behind https."""
    port = ports.free()
    arguments = ["-H", "127.0.0.1", "-p", str(port), "-c", str(certificate), "-k", str(certificate.parent / "key.pem")]
    with serving("moto_server", *arguments, port=port):
        description = described(f"https://127.0.0.1:{port}")
        make_bucket(description, verify=str(certificate))
        yield description


# What goes over the wire.


def test_all_parts_but_the_last_are_equal_whatever_the_source_gives(patient, direct, proxy):
    data = content(3 * PART + 1234)
    patient.put("dump", Stream(data, step=333_333))
    sizes = [request.size for request in proxy.seen("PUT", "partNumber=")]
    assert sorted(sizes, reverse=True) == [PART, PART, PART, 1234]
    assert direct.head("dump").size == len(data)


def test_a_small_stream_is_one_request(patient, proxy):
    patient.put("globals", Stream(b"small"))
    assert [(request.method, request.size) for request in proxy.requests] == [("PUT", 5)]


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (0, 8),
        (80_000 * MIB, 8),
        (80_000 * MIB + 1, 9),
        (200_000 * MIB, 20),
        (10**12, 24),
    ],
)
def test_parts_grow_with_the_size_that_is_expected(hint, expected):
    assert multipart.part_size(hint) == expected * MIB


def test_more_parts_than_there_may_be_are_refused_and_nothing_stays(store, direct, monkeypatch):
    monkeypatch.setattr(multipart, "MOST_PARTS", 2)
    with pytest.raises(StoreError, match=r"larger than the 0 GB that fit into 2 parts of 8 MiB\. .*pgBackRest"):
        store.put("dump", Stream(content(2 * PART + 1)))
    assert list(direct.list()) == []
    assert direct.abort_uploads("") == 0


def test_over_tls_no_request_has_what_r2_refuses(over_tls, certificate, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    store = S3Store(over_tls)
    sent: list[Any] = []
    store._client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request))
    store.put("dump", Stream(content(2 * PART + 5)))
    store.put("small", Stream(b"x"))
    etag = store.put_if_absent("lock", b"one")
    store.write("lock", b"two")
    with pytest.raises(PreconditionFailed):
        store.replace("lock", b"three", etag)
    assert store.read("small")[0] == b"x"
    store.abort_uploads("")
    store.delete([entry.key for entry in store.list()])
    assert {request.method for request in sent} == {"GET", "PUT", "POST", "DELETE"}
    for request in sent:
        headers = {name.lower(): str(value).lower() for name, value in request.headers.items()}
        assert not [name for name in headers if name.startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk"))]
        assert "aws-chunked" not in headers.get("content-encoding", "")
        assert "trailer" not in headers.get("x-amz-content-sha256", "")
        assert "transfer-encoding" not in headers


def test_over_tls_the_signature_covers_the_content_so_damage_on_the_way_is_refused(over_tls, certificate, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    store = S3Store(over_tls)
    sent: list[Any] = []
    store._client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request))
    store.put("small", Stream(b"x"))
    [request] = sent
    assert len(request.headers["x-amz-content-sha256"]) == 64


def test_a_certificate_that_nobody_vouches_for_is_told(over_tls):
    with pytest.raises(StoreUnreachable, match="certificate") as raised:
        Hasty(over_tls).read("a")
    assert "certificate" in raised.value.hint


def test_r2_is_s3_at_cloudflares_endpoint():
    description = R2(account="0" * 32, bucket="backups", jurisdiction="eu", access_key="a", secret_key="b")
    store = open_store(description)
    assert store.location == f"s3://backups at https://{'0' * 32}.eu.r2.cloudflarestorage.com"


def test_nothing_of_this_machines_aws_configuration_counts(store_s3, tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = http://127.0.0.1:1\ns3 =\n  use_accelerate_endpoint = true\n")
    for name, value in {
        "AWS_CONFIG_FILE": str(config),
        "AWS_PROFILE": "nobody",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "wrong",
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "AWS_DEFAULT_REGION": "nowhere-1",
    }.items():
        monkeypatch.setenv(name, value)
    S3Store(store_s3).write("a", b"x")
    aws = S3Store(S3(bucket="backups", region="eu-west-1", access_key="a", secret_key="b"))
    assert aws._client.meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"


def test_no_log_has_secrets_or_content(store_s3, caplog):
    caplog.set_level(logging.DEBUG)
    S3Store(store_s3).write("a", b"the content")
    assert store_s3.secret_key.reveal() not in caplog.text
    assert store_s3.access_key.reveal() not in caplog.text
    assert "the content" not in caplog.text


# What servers answer.


@pytest.mark.parametrize(("answer", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
def test_a_server_that_is_busy_twice_is_asked_again(patient, direct, proxy, answer, code):
    fault = proxy.fault("PUT", times=2, answer=answer, code=code)
    patient.write("a", b"x")
    assert fault.hits == 2
    assert direct.read("a")[0] == b"x"


@pytest.mark.parametrize(("answer", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
def test_a_server_that_stays_busy_is_unreachable(patient, proxy, answer, code):
    fault = proxy.fault("PUT", answer=answer, code=code)
    with pytest.raises(StoreUnreachable, match=f"{answer} {code} after several tries"):
        patient.write("a", b"x")
    assert fault.hits == Hasty.tries


@pytest.mark.parametrize(
    ("answer", "code", "expected", "hint"),
    [
        (403, "AccessDenied", StoreDenied, "read, write, list and delete"),
        (401, "Unauthorized", StoreDenied, "read, write, list and delete"),
        (403, "RequestTimeTooSkewed", StoreDenied, "clock"),
        (403, "ObjectLockedByBucketPolicy", StoreDenied, "lock rule"),
        (400, "ExpiredToken", StoreDenied, "access key id"),
        (301, "PermanentRedirect", StoreError, "region"),
        (501, "NotImplemented", StoreError, "code"),
        (400, "EntityTooLarge", StoreError, "code"),
        (409, "ConditionalRequestConflict", PreconditionFailed, "look again"),
    ],
)
def test_what_a_server_refuses_is_named_with_what_to_do(store, proxy, answer, code, expected, hint):
    proxy.fault("PUT", answer=answer, code=code)
    with pytest.raises(expected, match=code if expected is not PreconditionFailed else "expected") as raised:
        store.put_if_absent("prod/lock", b"x")
    assert hint in raised.value.hint
    assert "prod/lock" in str(raised.value)
    assert store.location in str(raised.value)


@pytest.mark.parametrize(("answer", "expected"), [(403, StoreDenied), (503, StoreUnreachable), (404, ObjectMissing)])
def test_an_answer_without_a_body_is_understood_too(store, proxy, answer, expected):
    proxy.fault("HEAD", "/a$", answer=answer)
    with pytest.raises(expected):
        store.head("a")


# What networks do.


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_breaks_goes_on_where_it_broke(store, direct, proxy, reset):
    data = content(5 * MIB + 77)
    direct.put("dump", Stream(data))
    fault = proxy.fault("GET", "dump", times=3, cut_answer=3 * MIB // 2, reset=reset)
    taken = bytearray()
    assert store.get("dump", taken.extend) == len(data)
    assert taken == data
    assert fault.hits == 3
    if not reset:  # a reset may take what was received along, the beginning of the answer included
        assert all("Range" in request.headers and "If-Match" in request.headers for request in proxy.seen("GET")[1:])


def test_a_range_that_breaks_ends_where_it_was_asked_to(store, direct, proxy):
    data = content(5 * MIB)
    direct.put("dump", Stream(data))
    proxy.fault("GET", "dump", times=1, cut_answer=3 * MIB // 2)
    taken = bytearray()
    store.get("dump", taken.extend, 1000, 3 * MIB)
    assert taken == data[1000 : 1000 + 3 * MIB]


def test_a_download_that_always_breaks_is_given_up(store, direct, proxy):
    direct.put("dump", Stream(content(2 * MIB)))
    fault = proxy.fault("GET", "dump", cut_answer=1000)
    with pytest.raises(StoreUnreachable, match="dump"):
        store.get("dump", len)
    assert fault.hits == 5


def test_a_download_of_what_changes_meanwhile_is_an_error(store, direct, proxy):
    direct.put("dump", Stream(content(3 * MIB)))
    proxy.fault("GET", "dump", times=1, cut_answer=3 * MIB // 2)

    def change(chunk: bytes) -> None:
        direct.put("dump", Stream(b"another"))

    with pytest.raises(StoreError, match="changed while it was read"):
        store.get("dump", change)


def test_a_download_that_stalls_is_cut_and_goes_on(store, direct, proxy):
    data = content(3 * MIB)
    direct.put("dump", Stream(data))
    proxy.fault("GET", "dump", times=1, stall=3 * MIB // 2)
    taken = bytearray()
    began = time.monotonic()
    store.get("dump", taken.extend)
    assert taken == data
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("reset", [False, True])
def test_a_part_that_breaks_is_sent_again(store, direct, proxy, reset):
    data = content(2 * PART + 5)
    fault = proxy.fault("PUT", "partNumber=2", times=1, cut_request=PART // 2, reset=reset)
    store.put("dump", Stream(data))
    assert fault.hits == 1
    taken = bytearray()
    direct.get("dump", taken.extend)
    assert taken == data


def test_a_part_that_never_arrives_ends_the_put_and_nothing_stays(store, direct, proxy):
    proxy.fault("PUT", "partNumber=2", cut_request=PART // 2)
    with pytest.raises(StoreUnreachable, match="dump"):
        store.put("dump", Stream(content(4 * PART)))
    assert list(direct.list()) == []
    assert direct.abort_uploads("") == 0


def test_when_the_answer_to_the_last_request_is_lost_the_object_tells_that_it_is_there(store, direct, proxy):
    data = content(PART + 5)
    fault = proxy.fault("POST", "uploadId=", times=1, cut_answer=0)
    assert store.put("dump", Stream(data)) == len(data)
    assert fault.hits == 1
    assert direct.head("dump").size == len(data)
    assert direct.abort_uploads("") == 0


def test_an_upload_that_nobody_could_abort_is_found_later(store, direct, proxy):
    proxy.fault("DELETE", answer=500, code="InternalError")
    with pytest.raises(RuntimeError, match="pg_dump died"):
        store.put("a/dump", Stream(content(2 * PART), failure=RuntimeError("pg_dump died")))
    assert list(direct.list()) == []
    assert direct.abort_uploads("b/") == 0
    assert direct.abort_uploads("a/") == 1
    assert direct.abort_uploads("a/") == 0


def test_a_conditional_write_whose_answer_was_lost_has_succeeded(store, direct, proxy):
    fault = proxy.fault("PUT", times=1, cut_answer=0)
    etag = store.put_if_absent("lock", b"mine")
    assert fault.hits == 1
    assert direct.read("lock") == (b"mine", etag)
    fault = proxy.fault("PUT", times=1, cut_answer=0)
    etag = store.replace("lock", b"still mine", etag)
    assert fault.hits == 1
    assert direct.read("lock") == (b"still mine", etag)


def test_a_conditional_write_that_was_tried_again_is_refused_where_others_were_first(store, direct, proxy):
    direct.write("lock", b"theirs")
    proxy.fault("PUT", times=1, answer=503)
    with pytest.raises(PreconditionFailed):
        store.put_if_absent("lock", b"mine")


def test_a_probe_that_was_tried_again_does_not_pass_for_a_write(patient, proxy):
    etag = patient.put_if_absent("lock", b"{}")
    fault = proxy.fault("PUT", times=1, answer=503)
    try:
        require_conditional_writes(patient, "lock", etag, b"{}")
    except WeakStore:
        pytest.fail("a retry was taken for a weakness")
    assert fault.hits == 1


def test_a_slow_network_is_no_stall(patient, direct, proxy):
    """A part takes four times as long as a connection may stand still."""
    data = content(PART + 5)
    proxy.fault("PUT", rate=2 * MIB)
    proxy.fault("GET", rate=2 * MIB)
    patient.put("dump", Stream(data))
    taken = bytearray()
    patient.get("dump", taken.extend)
    assert taken == data
    assert len(proxy.seen("PUT")) == 2


def test_a_server_that_says_nothing_is_given_up_in_bounded_time(store, direct, proxy):
    direct.write("a", b"x" * 10)
    proxy.fault("GET", stall=0)
    began = time.monotonic()
    with pytest.raises(StoreUnreachable, match="no answer in time"):
        store.read("a")
    assert time.monotonic() - began < 20


def test_a_name_that_does_not_exist_is_unreachable(behind):
    elsewhere = Hasty(behind.model_copy(update={"endpoint": "http://no-such-host.invalid"}))
    with pytest.raises(StoreUnreachable, match=r"no-such-host\.invalid"):
        elsewhere.read("a")


# What it costs.

PUT_MUCH = r"""
import re, sys
from pathlib import Path
from ops import S3
from ops.stores import open_store

class Zeros:
    left = 200 * 2**20
    def readinto(self, buffer):
        count = min(len(buffer), self.left)
        self.left -= count
        return count

url, bucket, prefix, hint = sys.argv[1:]
access_key, secret_key = sys.stdin.read().split()
store = open_store(S3(endpoint=url, bucket=bucket, prefix=prefix, access_key=access_key, secret_key=secret_key))
store.put("dump", Zeros(), size_hint=int(hint))
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.parametrize(("hint", "most"), [(0, 110), (10**12, 160)])
def test_a_put_takes_bounded_memory(store_s3, hint, most):
    done = subprocess.run(
        [sys.executable, "-c", PUT_MUCH, store_s3.endpoint, store_s3.bucket, store_s3.prefix, str(hint)],
        input=f"{store_s3.access_key.reveal()} {store_s3.secret_key.reveal()}",
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < most


def test_opening_a_store_loads_no_client(store_s3):
    done = subprocess.run(
        [sys.executable, "-c", "import sys, ops.stores; sys.exit('botocore' in sys.modules)"], check=False
    )
    assert done.returncode == 0
