"""What the check ``Http`` says of certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from certificates import Authority
from faulty_web import Web, serving
from worker_request import asked, by_worker

from ops.checks import Http, Outcome, Result

FAIL, UNKNOWN, PASS = Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS

CERTIFICATES: dict[str, dict[str, Any]] = {
    "good": {"host": "127.0.0.1", "days": 30.5},
    "ending": {"host": "127.0.0.1", "days": 5.5},
    "expired": {"host": "127.0.0.1", "days": -2},
    "coming": {"host": "127.0.0.1", "days": 30, "begins": 2},
    "foreign": {"host": "shop.example.com", "days": 30},
    "own": {"host": "127.0.0.1", "days": 30, "self_signed": True},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def servers(authority: Authority) -> Iterator[dict[str, Web]]:
    """A server for each certificate."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(authority.certificate(**wanted)))
            for name, wanted in CERTIFICATES.items()
        }  # fmt: skip


def rows(results: list[Result]) -> dict[str, Result]:
    return {one.what: one for one in results}


def test_a_certificate_that_is_valid_for_long_enough_passes(servers: dict[str, Web], authority: Authority) -> None:
    url = servers["good"].on("/")
    found = rows(asked(Http(url=url, ca_file=authority.file, certificate=14, tries=20, p95=5)))
    assert {one.outcome for one in found.values()} == {PASS}
    assert (found["certificate"].value, found["certificate"].limit) == ("30 days", "≥ 14 days")
    assert servers["good"].connections == 1


def test_one_that_ends_soon_fails_and_nothing_else_does(servers: dict[str, Web], authority: Authority) -> None:
    found = rows(asked(Http(url=servers["ending"].on("/"), ca_file=authority.file, certificate=14)))
    assert found[""].outcome is PASS
    assert (found["certificate"].outcome, found["certificate"].value) == (FAIL, "5 days")
    end = datetime.now(UTC) + timedelta(days=5.5)
    assert found["certificate"].hint.startswith(f"Renew it before {end:%Y-%m}")


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("expired", "has expired", "Renew it, and have the server read it"),
        ("coming", "is not valid yet", "Look at the clocks of both"),
        ("foreign", "is for another host", "Look which one the server has for this address"),
        ("own", "is self-signed", "Name it as trusted: ca_file=…"),
    ],
)
def test_one_that_is_not_valid_fails(
    servers: dict[str, Web], authority: Authority, name: str, said: str, hint: str
) -> None:
    url = servers[name].on("/")
    found = rows(asked(Http(url=url, ca_file=authority.file, certificate=14, within=5)))
    assert (found[""].outcome, found[""].value, found[""].hint) == (FAIL, f"its certificate {said}", hint)
    assert (found["certificate"].outcome, found["certificate"].value) == (FAIL, said)
    assert found["latency"].outcome is UNKNOWN
    assert not servers[name].asked, "nothing is sent to a server that nobody knows"


def test_one_of_an_authority_that_nobody_trusts_fails(servers: dict[str, Web], authority: Authority) -> None:
    (result,) = asked(Http(url=servers["good"].on("/")))
    assert (result.outcome, result.value) == (FAIL, "its certificate is from an authority that is not trusted")
    assert "ca_file=…" in result.hint


def test_a_server_that_speaks_no_tls_fails_and_its_certificate_is_unknown() -> None:
    with serving() as web:
        url = web.on("/").replace("http://", "https://")
        found = rows(asked(Http(url=url, certificate=14, timeout=2)))
    assert found[""].outcome is FAIL
    assert found[""].value.startswith("no connection in TLS: ")
    assert (found["certificate"].outcome, found["certificate"].value) == (UNKNOWN, "no connection in TLS")


def test_checks_with_different_authorities_are_kept_apart(
    servers: dict[str, Web], authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    another = Authority(tmp_path_factory.mktemp("another"))
    url = servers["good"].on("/")
    files = {"known": authority.file, "unknown": another.file, "system's": None}
    results, _ = by_worker(*(Http(url=url, name=name, ca_file=file) for name, file in files.items()))
    assert [one.outcome for (one,) in results] == [PASS, FAIL, FAIL]


def test_the_systems_authorities_stay_trusted_beside_a_file(
    servers: dict[str, Web], authority: Authority, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    another = Authority(tmp_path_factory.mktemp("another"))
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, authority.file)
    (result,) = asked(Http(url=servers["good"].on("/"), ca_file=another.file))
    assert result.outcome is PASS
