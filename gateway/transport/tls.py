"""Certificates of a process: read, checked, watched for renewal, and given to gRPC's servers.

A certificate is renewed by replacing its files. The files are looked at once a second at most, when a connection is
made; a new pair that does not fit together, or is still being written, is logged and the old one stays in use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.crypto.keys import load_private_key
from gateway.errors import Reason, TiergateError

MAX_FILE_BYTES = 256 * 1024
LOOK_EVERY_S = 1.0

_log = structlog.get_logger("gateway.transport")
_Stamp = tuple[tuple[int, int, int], ...]


class Pem(NamedTuple):
    """What gRPC is given, PEM: our chain (leaf first), its key, and the authorities that peers must lead to."""

    chain: bytes
    key: bytes
    authorities: bytes


class CertificateFacts(NamedTuple):
    """What a certificate says: its URI and DNS SANs and until when it is valid (UTC)."""

    uris: tuple[str, ...]
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files of one end: its chain (leaf first), its key (mode 600), and the authorities that it trusts."""

    cert: Path
    key: Path
    ca: Path

    def read(self) -> Pem:
        """Read and check all three. Raises CERTIFICATE_INVALID or KEY_INVALID, naming the file.

        The key must be the certificate's own and P-256: gRPC's Python library accepts no Ed25519 certificate. An
        expired certificate is taken, so that it can be renewed in place; peers refuse it, and ``doctor`` says so.
        """
        key = load_private_key(self.key)
        chain, authorities = self._bytes(self.cert), self._bytes(self.ca)
        leaf = self._certificates(self.cert, chain)[0]
        self._certificates(self.ca, authorities)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TiergateError(Reason.KEY_INVALID, f"{self.key.name} is not P-256, which gRPC needs")
        try:
            public = leaf.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TiergateError(Reason.CERTIFICATE_INVALID, f"{self.cert.name} is for no key that we know") from error
        if public != key.public_key():
            raise TiergateError(Reason.CERTIFICATE_INVALID, f"{self.key.name} is not the key of {self.cert.name}")
        return Pem(chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), authorities)

    def facts(self) -> CertificateFacts:
        """What our own certificate says. Raises CERTIFICATE_INVALID."""
        return facts_of(self._certificates(self.cert, self._bytes(self.cert))[0])

    def stamp(self) -> _Stamp:
        """What changes when a file is replaced or written. Raises OSError."""
        return tuple(
            (found.st_mtime_ns, found.st_ino, found.st_size)
            for found in (path.stat() for path in (self.cert, self.key, self.ca))
        )

    @staticmethod
    def _bytes(path: Path) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise TiergateError(Reason.CERTIFICATE_INVALID, f"{path.name} cannot be read") from error
        if len(data) > MAX_FILE_BYTES:
            raise TiergateError(Reason.CERTIFICATE_INVALID, f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
        return data

    @staticmethod
    def _certificates(path: Path, data: bytes) -> list[x509.Certificate]:
        try:
            return x509.load_pem_x509_certificates(data)
        except (ValueError, x509.InvalidVersion) as error:
            raise TiergateError(Reason.CERTIFICATE_INVALID, f"{path.name} holds no PEM certificate") from error


def facts_of(certificate: x509.Certificate) -> CertificateFacts:
    """The facts of a certificate; one without SANs has none. Raises CERTIFICATE_INVALID for malformed SANs."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise TiergateError(Reason.CERTIFICATE_INVALID, "malformed certificate extensions") from error
    return CertificateFacts(
        tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        tuple(names.get_values_for_type(x509.DNSName)),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


class WatchedCertificate:
    """The files' newest sound contents. Called by gRPC's threads during handshakes, so it holds a lock."""

    def __init__(self, files: CertificateFiles, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read the files. Raises as :meth:`CertificateFiles.read`."""
        self.files = files
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked = monotonic()
        self._stamp: _Stamp | None = (
            None  # looked at anew a second from now: a renewal during this very read is not missed
        )
        self._pem = files.read()

    def current(self) -> Pem:
        """The contents in use. The same object until a sound renewal is seen."""
        now = self._monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return self._pem
        with self._lock:
            if now - self._looked >= LOOK_EVERY_S:
                self._looked = now
                self._look()
            return self._pem

    @property
    def expires_at(self) -> float:
        """When the certificate in use ends, in Unix seconds."""
        return facts_of(x509.load_pem_x509_certificates(self.current().chain)[0]).not_after.timestamp()

    def _look(self) -> None:
        try:
            stamp = self.files.stamp()
        except OSError:
            stamp = ()
        if stamp == self._stamp:
            return
        self._stamp = stamp  # a renewal that does not fit is complained of once, and looked at again when it changes
        try:
            pem = self.files.read()
        except TiergateError as error:
            _log.warning("certificate_not_renewed", reason=error.reason.value, detail=error.detail)
            return
        if pem != self._pem:
            self._pem = pem
            _log.info("certificate_renewed", file=self.files.cert.name)


def server_credentials(certificate: WatchedCertificate) -> grpc.ServerCredentials:
    """Mutual TLS for a server: every client must show a certificate, and each handshake uses the newest of ours."""

    def configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.authorities)

    state = [certificate.current()]

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        pem = certificate.current()
        if pem is state[0]:
            return None  # gRPC keeps what it has
        state[0] = pem
        return configuration(pem)

    # None is how gRPC is told to go on with what it has, which its type stubs do not know
    return grpc.dynamic_ssl_server_credentials(
        configuration(state[0]), cast("Any", fetch), require_client_authentication=True
    )
