"""A certificate authority for tests, with certificates of any dates."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key (0600), PEM."""

    certificate: str
    key: str


class Authority:
    """Issues certificates; `ca` is the path of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        now = datetime.now(UTC)
        own = self._builder(self._name, now - timedelta(days=36_500 // 2), now + timedelta(days=3650)).public_key(self._key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        own = own.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        self.ca = str(directory / "ca.pem")
        Path(self.ca).write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, host: str = "localhost", begins: float = -1.0, ends: float = 30.0) -> Pair:
        """A certificate for `host`, valid from and to so many days from now."""
        now = datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(subject, now + timedelta(days=begins), now + timedelta(days=ends)).public_key(key.public_key())
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        pair = Pair(str(self._directory / f"{name}.pem"), str(self._directory / f"{name}.key"))
        Path(pair.certificate).write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        Path(pair.key).write_bytes(key.private_bytes(pem, pkcs8, plain))
        Path(pair.key).chmod(0o600)
        return pair

    def server(self, pair: Pair, *, clients: bool = False) -> ssl.SSLContext:
        """A server's side of TLS; with `clients` it demands a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if clients:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _builder(self, subject: x509.Name, begins: datetime, ends: datetime) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).serial_number(x509.random_serial_number())
        return builder.not_valid_before(begins).not_valid_after(ends)
