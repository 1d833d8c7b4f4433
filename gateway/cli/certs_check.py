"""``tiergate certs check``: whether certificate, key and authority fit together and fit a role."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cyclopts import Parameter

from gateway.cli.certs import Dns, parse_identity
from gateway.cli.findings import Finding, of_error, ok, problem, tell, warning
from gateway.cli.messages import time_of_s
from gateway.cli.options import Json
from gateway.crypto.dev_ca import SERVING_ROLES
from gateway.domain.ids import PeerIdentity
from gateway.errors import Reason, TiergateError
from gateway.transport.tls import CertificateFiles, facts_of

SOON = timedelta(days=14)
_CHECK = "certificate"
_USAGES = {ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth"}


def check(
    *,
    cert: Annotated[Path, Parameter(name="--cert", help="Certificate chain (PEM), the holder's first.")],
    key: Annotated[Path, Parameter(name="--key", help="Its private key (PEM, mode 600).")],
    ca: Annotated[Path, Parameter(name="--ca", help="Authorities (PEM) that peers' certificates must lead to.")],
    identity: Annotated[
        str | None, Parameter(name="--identity", help="SPIFFE id that the certificate must carry.")
    ] = None,
    dns: Dns = None,
    json: Json = False,
) -> int:
    """Check a certificate: key, authority, expiry, identity, names, usages, file modes. Exit code 1 for a problem."""
    wanted = None if identity is None else parse_identity(identity)
    return tell(list(check_certificate(CertificateFiles(cert, key, ca), wanted, dns)), as_json=json)


def usages_of(certificate: x509.Certificate) -> list[str]:
    """Extended key usages by name."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError, TypeError):
        return []
    return [_USAGES.get(item, item.dotted_string) for item in found]


def certificate_document(certificate: x509.Certificate) -> dict[str, Any]:
    """What a certificate says, as JSON. Raises CERTIFICATE_INVALID."""
    said = facts_of(certificate)
    try:
        # parts are parsed when they are asked for
        public = certificate.public_key()
        subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TiergateError(Reason.CERTIFICATE_INVALID, "malformed names, or for no key that we know") from error
    return {
        "subject": subject,
        "issuer": issuer,
        "identity": ", ".join(said.uris),
        "dns": ", ".join(said.names),
        "usages": ", ".join(usages_of(certificate)),
        "not_before": time_of_s(int(said.not_before.timestamp())),
        "not_after": time_of_s(int(said.not_after.timestamp())),
        "key": public.curve.name if isinstance(public, ec.EllipticCurvePublicKey) else type(public).__name__,
        "serial": f"{certificate.serial_number:x}",
    }


def check_certificate(files: CertificateFiles, identity: PeerIdentity | None, dns: str | None) -> Iterator[Finding]:
    """Everything that can be said of a certificate without a peer. ``identity`` None: the role is not known."""
    subject = str(files.cert)
    try:
        files.read()
        leaf = x509.load_pem_x509_certificates(files.cert.read_bytes())[0]
        authorities = x509.load_pem_x509_certificates(files.ca.read_bytes())
        said = facts_of(leaf)
    except TiergateError as error:
        yield from of_error(
            _CHECK, subject, error, "see `tiergate certs --help` for how to make one; keys need mode 600"
        )
        return
    now = datetime.now(UTC)
    until = time_of_s(int(said.not_after.timestamp()))
    if now < said.not_before:
        yield problem("clock", subject, f"not valid before {said.not_before.isoformat()}", "set this machine's clock")
    if now >= said.not_after:
        yield problem(_CHECK, subject, f"expired at {until}", "renew it: `tiergate certs request`, or `certs dev`")
    elif now >= said.not_after - SOON:
        yield warning(
            _CHECK, subject, f"expires at {until}", "renew it: a running process takes the new files by itself"
        )
    else:
        yield ok(_CHECK, subject, f"valid until {until}; the key is its own and readable by its owner alone")
    yield from _chain(subject, leaf, authorities)
    if identity is not None:
        yield from _role(subject, leaf, said.uris, said.names, identity, dns)


def _chain(subject: str, leaf: x509.Certificate, authorities: list[x509.Certificate]) -> Iterator[Finding]:
    for authority in authorities:
        try:
            leaf.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        yield ok(_CHECK, subject, "signed by an authority of the ca file")
        return
    # an intermediate may stand in between; peers decide, and the peer check tells
    yield warning(
        _CHECK,
        subject,
        "no authority of the ca file has signed it directly",
        "unless there is an intermediate, take the ca file of the network's authority",
    )


def _role(
    subject: str,
    leaf: x509.Certificate,
    uris: tuple[str, ...],
    names: tuple[str, ...],
    identity: PeerIdentity,
    dns: str | None,
) -> Iterator[Finding]:
    before = "ask for a new one: `tiergate certs request`"
    if uris != (identity.uri,):
        yield problem(_CHECK, subject, f"its URI SAN is {', '.join(uris) or 'missing'}, not {identity.uri}", before)
    else:
        yield ok(_CHECK, subject, f"identity {identity.uri}")
    serves = identity.role in SERVING_ROLES
    if serves and dns is not None and dns not in names:
        yield problem(_CHECK, subject, f"does not name {dns}, as the directory does", before)
    usages = usages_of(leaf)
    wanted = ["clientAuth", "serverAuth"] if serves else ["clientAuth"]
    if sorted(usages) != wanted:
        found = ", ".join(usages) or "none"
        yield problem(
            _CHECK, subject, f"extended key usage is {found}; {identity.role} needs {', '.join(wanted)}", before
        )
