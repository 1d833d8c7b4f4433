"""A certificate authority for the peers of a test network: SPIFFE ids, DNS names, P-256."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.crypto.keys import write_private_key
from gateway.domain.ids import PeerIdentity
from gateway.transport.tls import CertificateFiles


class PeerCa:
    """Writes ``ca.pem`` and the certificates that it issues into one folder."""

    def __init__(self, folder: Path, name: str = "test peers") -> None:
        self._folder = folder
        self._issued = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / "ca.pem"
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, identity: PeerIdentity, server_name: str | None = None) -> CertificateFiles:
        """Certificate and key of a peer; with ``server_name`` it may serve on loopback, else be a client alone."""
        self._issued += 1
        label = f"{identity.role}-{identity.name}-{self._issued}"
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if server_name is not None:
            names += [x509.DNSName(server_name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")]), key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = CertificateFiles(self._folder / f"{label}.pem", self._folder / f"{label}.key", self.file)
        files.cert.write_bytes(certificate.public_bytes(Encoding.PEM))
        write_private_key(files.key, key)
        return files

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
        )
