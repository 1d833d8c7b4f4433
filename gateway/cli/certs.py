"""``tiergate certs``: keys and certificates. Private keys are written once, readable by their owner alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from gateway.cli.options import Json
from gateway.cli.output import UsageError, facts, show
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from gateway.domain.ids import PeerIdentity

app = App(name="certs", help="Keys and certificates: make, request, show, check.")
app.command("gateway.cli.certs_sign:sign", name="sign", help="Development authority: sign a certificate request.")
app.command("gateway.cli.certs_check:check", name="check", help="Check certificate, key and authority against a role.")

Identity = Annotated[
    str,
    Parameter(
        name="--identity",
        help="SPIFFE id of the holder: spiffe://TRUST-DOMAIN/gateway, /city/ID, /city/ID/app, /operator/ID, "
        "/auditor/ID or /witness/ID.",
    ),
]
Dns = Annotated[
    str | None,
    Parameter(
        name="--dns", help="Name that the peer directory gives to a serving holder (gateway, city); others: none."
    ),
]
Purpose = Literal["authority", "consent", "attestation", "event", "proof", "log"]


def parse_identity(uri: str) -> PeerIdentity:
    """A SPIFFE id. Raises :class:`UsageError`."""
    from gateway.domain.ids import PeerIdentity

    try:
        return PeerIdentity.parse(uri)
    except TiergateError as error:
        raise UsageError(
            f"--identity: {error.detail}", "such as spiffe://example.org/operator/xiamen-library"
        ) from error


def check_dns(identity: PeerIdentity, dns: str | None) -> None:
    """Return if a DNS name is there for a role that serves, and only for one. Raises :class:`UsageError`."""
    serves = identity.role in {"gateway", "city"}
    if serves and dns is None:
        raise UsageError(f"a {identity.role} serves, and needs a DNS name", "give --dns NAME, as in the directory")
    if not serves and dns is not None:
        raise UsageError(f"{identity.role} only calls, and has no DNS name", "leave --dns out")


@app.command
def dev(
    *,
    out: Annotated[
        Path, Parameter(name="--out", help="Folder; the development authority is made in its subfolder ca.")
    ],
    identity: Identity,
    dns: Dns = None,
    ip: Annotated[
        list[str] | None, Parameter(name="--ip", negative="", help="Address of a serving holder; may be repeated.")
    ] = None,
    days: Annotated[int, Parameter(name="--days", help="Lifetime in days.")] = 30,
    json: Json = False,
) -> None:
    """Make a development certificate, and on first use the development authority that signs it.

    For one machine alone: in operation every domain brings its own authority, and no key leaves its machine.
    """
    from datetime import UTC, datetime
    from ipaddress import ip_address

    from gateway.crypto.dev_ca import DevCa

    holder = parse_identity(identity)
    check_dns(holder, dns)
    if not 1 <= days <= 365:
        raise UsageError("--days must be 1 to 365")
    addresses = ip or []
    try:
        for address in addresses:
            ip_address(address)
    except ValueError as error:
        raise UsageError(f"--ip: {error}") from error
    if addresses and dns is None:
        raise UsageError(f"{holder.role} only calls, and has no address", "leave --ip out")
    now = datetime.now(UTC)
    authority = out / "ca"
    ca = DevCa.load(authority) if authority.exists() else DevCa.create(authority, now=now)
    folder = out / "-".join(part for part in (holder.role, holder.name) if part)
    files = ca.issue(holder, folder, now=now, names=[dns] if dns else [], ips=addresses, days=days)
    document = {"cert": str(files.cert), "key": str(files.key), "ca": str(files.ca), "identity": holder.uri}
    show(document, lambda: [facts("Development certificate", document)], as_json=json)


@app.command
def request(
    *,
    out: Annotated[Path, Parameter(name="--out", help="The request (PEM), for your certificate authority.")],
    key_out: Annotated[Path, Parameter(name="--key-out", help="The new private key (PEM, mode 600); it stays here.")],
    identity: Identity,
    dns: Dns = None,
    json: Json = False,
) -> None:
    """Make a P-256 key and a certificate request that carries the identity as URI SAN."""
    holder = parse_identity(identity)
    check_dns(holder, dns)
    made, pem = certificate_request(holder, dns)
    _write_key(key_out, made)
    out.write_bytes(pem)
    document = {"request": str(out), "key": str(key_out), "identity": holder.uri, "dns": dns}
    show(document, lambda: [facts("Certificate request", document)], as_json=json)


def certificate_request(holder: PeerIdentity, dns: str | None) -> tuple[EllipticCurvePrivateKey, bytes]:
    """A new P-256 key, and the request (PEM) for a certificate of ``holder``; ``dns`` as :func:`check_dns` wants it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(holder.uri)]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if dns is not None:
        names.append(x509.DNSName(dns))
        usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    common = f"tiergate {holder.role} {holder.name}".strip()
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(key, SHA256())
    )
    return key, made.public_bytes(Encoding.PEM)


@app.command
def key(
    *,
    purpose: Annotated[
        Purpose,
        Parameter(
            name="--purpose",
            help="authority: signs bundles and directories. consent, attestation, event: a city's. proof: an "
            "operator's. log: the gateway's.",
        ),
    ],
    out: Annotated[Path, Parameter(name="--out", help="The new private key (mode 600); never overwritten.")],
    origin: Annotated[
        str | None, Parameter(name="--origin", help="Name of the log, such as log.example.org/2026; for --purpose log.")
    ] = None,
    alg: Annotated[
        Literal["ES256", "EdDSA"] | None,
        Parameter(name="--alg", help="Default: EdDSA for an authority, else ES256. A log key is always Ed25519."),
    ] = None,
    public_out: Annotated[
        Path | None, Parameter(name="--public-out", help="Write the public key (JWK, JSON) here, to be handed over.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a signing key. Its public part, for the directory or the root, is printed; the private part stays here."""
    from json import dumps

    from gateway.crypto.keys import algorithm_of, generate_signing_key, public_jwk, thumbprint

    if (purpose == "log") != (origin is not None):
        raise UsageError("a log key, and no other, has an origin", "give --origin with --purpose log")
    if origin is not None and alg is not None:
        raise UsageError("a log key is always Ed25519", "leave --alg out")
    if origin is not None and public_out is not None:
        raise UsageError("a log key's public part is no JWK", "leave --public-out out; the vkey is printed")
    document: dict[str, Any] = {"file": str(out), "purpose": purpose}
    if origin is not None:
        document["vkey"] = _make_log_key(out, origin)
    else:
        made = generate_signing_key(alg or ("EdDSA" if purpose == "authority" else "ES256"))
        _write_key(out, made)
        jwk = public_jwk(made)
        document |= {"kid": thumbprint(jwk), "alg": algorithm_of(made), "jwk": jwk}
        if public_out is not None:
            public_out.write_text(dumps(jwk) + "\n", "ascii")
    show(document, lambda: [facts("Key", document)], as_json=json)


def _make_log_key(out: Path, origin: str) -> str:
    import os

    from gateway.consentlog.note import SignerKey

    try:
        signer = SignerKey.generate(origin)
    except TiergateError as error:
        raise UsageError(f"--origin: {error.detail}", "a name without spaces and plus signs") from error
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise _exists(out) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{signer.to_secret_text()}\n")
    return str(signer.verifier)


def _write_key(path: Path, made: Any) -> None:
    from gateway.crypto.keys import write_private_key

    try:
        write_private_key(path, made)
    except FileExistsError as error:
        raise _exists(path) from error


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists; a private key is never overwritten", "name another file")


@app.command(name="show")
def show_certificate(
    file: Annotated[Path, Parameter(help="PEM file; all certificates in it are shown.")], *, json: Json = False
) -> None:
    """Show what certificates say: identity, names, usages, validity, key."""
    from cryptography import x509

    from gateway.cli.certs_check import certificate_document
    from gateway.cli.client import read_file
    from gateway.transport.tls import MAX_FILE_BYTES

    try:
        found = x509.load_pem_x509_certificates(read_file(file, MAX_FILE_BYTES))
    except (ValueError, x509.InvalidVersion) as error:
        problem = Problem(str(file), "", "holds no PEM certificate")
        raise ProblemsError(Reason.CERTIFICATE_INVALID, [problem]) from error
    documents = [certificate_document(item) for item in found]
    show(
        {"certificates": documents},
        lambda: [facts(f"Certificate {place}", item) for place, item in enumerate(documents, start=1)],
        as_json=json,
    )
