"""A certificate authority for development: P-256, short-lived certificates, one folder per holder.

It is for one machine. In operation every domain brings its own authority and keys. What a certificate holds follows
from the role: the gateway and the cities serve and dial each other (``serverAuth`` and ``clientAuth``, with a DNS SAN);
all other roles only call (``clientAuth``, and no name).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from gateway.crypto.keys import load_private_key, write_private_key
from gateway.domain.ids import PeerIdentity
from gateway.errors import Reason, TiergateError

BACKDATED = timedelta(minutes=5)
"""How much earlier than now a certificate begins, for clocks that are a little behind."""
AUTHORITY_DAYS = 365
SERVING_ROLES = frozenset({"gateway", "city"})
CERT, KEY, CA = "cert.pem", "key.pem", "ca.pem"
_CA_KEY = "ca.key"


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is put into one certificate. Times are UTC; ``ips`` in text form."""

    common_name: str
    uris: Sequence[str]
    names: Sequence[str]
    ips: Sequence[str]
    usages: Sequence[ObjectIdentifier]
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class IssuedFiles:
    """Where a holder's files are: chain, key (mode 600), and the authority's certificate (all PEM)."""

    cert: Path
    key: Path
    ca: Path


class DevCa:
    """The authority. Its key stays in its own folder, which no process of the network is given."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, folder: Path, *, now: datetime) -> DevCa:
        """A new authority in ``folder`` (created, mode 700). FileExistsError if there is one."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tiergate development authority")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private_key(folder / _CA_KEY, key)
        (folder / CA).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(certificate, key)

    @classmethod
    def load(cls, folder: Path) -> DevCa:
        """The authority in ``folder``. Raises KEY_INVALID or CERTIFICATE_INVALID."""
        key = load_private_key(folder / _CA_KEY)
        try:
            certificate = x509.load_pem_x509_certificate((folder / CA).read_bytes())
            public = certificate.public_key()
        except (OSError, ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise TiergateError(Reason.CERTIFICATE_INVALID, f"{CA} is not a readable certificate") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or public != key.public_key():
            raise TiergateError(Reason.CERTIFICATE_INVALID, f"{_CA_KEY} is not the key of {CA}")
        return cls(certificate, key)

    def issue(
        self,
        identity: PeerIdentity,
        folder: Path,
        *,
        now: datetime,
        names: Sequence[str] = (),
        ips: Sequence[str] = (),
        days: int = 30,
    ) -> IssuedFiles:
        """A key and certificate for ``identity`` in ``folder`` (created, mode 700); a renewal replaces the files.

        ``names`` are the DNS SANs: at least one for a role that serves, none for one that only calls (ValueError).
        """
        return self.write(leaf_of(identity, now=now, names=names, ips=ips, days=days), folder)

    def write(self, leaf: Leaf, folder: Path) -> IssuedFiles:
        """Sign exactly ``leaf`` for a new key, and put the files into ``folder``."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = IssuedFiles(folder / CERT, folder / KEY, folder / CA)
        key = ec.generate_private_key(ec.SECP256R1())
        # complete files, put into place one after the other: a reader in between sees a pair that does not fit
        # together, which it refuses, and never half a file
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            write_private_key(Path(scratch) / KEY, key)
            certificate = self.certify(leaf, key.public_key())
            (Path(scratch) / CERT).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            (Path(scratch) / CA).write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
            for name in (CA, KEY, CERT):
                os.replace(Path(scratch) / name, folder / name)  # noqa: PTH105 - reads as what it is
        return files

    def certify(self, leaf: Leaf, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        """A certificate of exactly ``leaf`` for a key that somebody else holds."""
        sans: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in leaf.uris]
        sans += [x509.DNSName(name) for name in leaf.names]
        sans += [x509.IPAddress(ip_address(ip)) for ip in leaf.ips]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(leaf.not_before)
            .not_valid_after(leaf.not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(leaf.usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def leaf_of(
    identity: PeerIdentity, *, now: datetime, names: Sequence[str] = (), ips: Sequence[str] = (), days: int = 30
) -> Leaf:
    """What the certificate of a role holds; ``names`` and ValueError as in :meth:`DevCa.issue`."""
    serves = identity.role in SERVING_ROLES
    if serves != bool(names) or (ips and not serves):
        raise ValueError("a serving role needs a DNS name; one that only calls has neither name nor address")
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if serves:
        usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    return Leaf(
        common_name=f"tiergate {identity.role} {identity.name}".strip(),
        uris=[identity.uri],
        names=names,
        ips=ips,
        usages=usages,
        not_before=now - BACKDATED,
        not_after=now + timedelta(days=days),
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    """What the key may do (RFC 5280, section 4.2.1.3): sign certificates, or take part in handshakes."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
