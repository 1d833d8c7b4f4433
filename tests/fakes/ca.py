"""A test authority: sound certificates for the network's roles, and every kind of unsound one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from gateway.crypto.dev_ca import SERVING_ROLES, DevCa, IssuedFiles, Leaf
from gateway.domain.ids import PeerIdentity, Role
from gateway.transport.tls import CertificateFiles

TRUST_DOMAIN = "test.tiergate.example"
LOOPBACK = "127.0.0.1"
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def identity(role: Role, name: str = "") -> PeerIdentity:
    return PeerIdentity(TRUST_DOMAIN, role, name)


def server_name(peer: PeerIdentity) -> str:
    """The DNS SAN that the test directory lists for a serving peer."""
    return f"{peer.role}-{peer.name or 'main'}.test.internal"


def files_of(issued: IssuedFiles) -> CertificateFiles:
    return CertificateFiles(issued.cert, issued.key, issued.ca)


class FakeCa:
    """An authority whose files lie under one folder, a sub-folder per holder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self.now = datetime.now(UTC)
        self.ca = DevCa.create(folder / "authority", now=self.now)

    def _next(self) -> Path:
        self._made += 1
        return self._folder / f"holder-{self._made}"

    def sound(self, peer: PeerIdentity, *, folder: Path | None = None, days: int = 30) -> CertificateFiles:
        """A certificate as it should be; into ``folder`` to renew one."""
        serves = peer.role in SERVING_ROLES
        issued = self.ca.issue(
            peer,
            folder or self._next(),
            now=self.now,
            names=[server_name(peer)] if serves else [],
            ips=[LOOPBACK] if serves else [],
            days=days,
        )
        return files_of(issued)

    def unsound(
        self,
        *,
        uris: Sequence[str] = (),
        names: Sequence[str] = (),
        common_name: str = "unsound",
        usages: Sequence[ObjectIdentifier] = BOTH,
        begins: timedelta = -timedelta(minutes=5),
        ends: timedelta = timedelta(days=1),
    ) -> CertificateFiles:
        """A certificate with exactly these contents."""
        leaf = Leaf(common_name, uris, names, [LOOPBACK], usages, self.now + begins, self.now + ends)
        return files_of(self.ca.write(leaf, self._next()))
