"""Certificates of an authority of the tests' own."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="needs cryptography: pip install cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """It signs what it is asked to, and lies in ``file``.

    Args:
        directory: where everything is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of the tests")])
        own = self._certificate(self._name, self._key, -1, 100, None)
        self.file = str(directory / "authority.pem")
        Path(self.file).write_bytes(own)

    def certificate(self, host: str, days: float, begins: float = -100, self_signed: bool = False) -> str:
        """A file with a certificate and its key.

        Args:
            host: a name or an address.
            days: from now until it ends.
            begins: days from now.
            self_signed: not by this authority.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]) if self_signed else None
        signed = self._certificate(name, key, begins, days, host)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self._directory / f"{host}-{days}-{begins}-{self_signed}.pem"
        file.write_bytes(signed + private)
        return str(file)

    def _certificate(
        self, name: x509.Name | None, key: ec.EllipticCurvePrivateKey, begins: float, days: float, host: str | None
    ) -> bytes:
        """Signed by the authority; one that has a name, by itself."""
        signer = self._key if name is None else key
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(host))]))
            .issuer_name(name or self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if host is None:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([_named(host)]), critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _named(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
