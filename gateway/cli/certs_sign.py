"""``tiergate certs sign``: the development authority signs a request, for the identity that its signer names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cyclopts import Parameter

from gateway.cli.certs import Dns, Identity, check_dns, parse_identity
from gateway.cli.client import read_file
from gateway.cli.options import Json
from gateway.cli.output import RefusedError, UsageError, facts, show
from gateway.crypto.dev_ca import CA, DevCa, leaf_of
from gateway.transport.tls import MAX_FILE_BYTES

MAX_DAYS = 365


def sign(
    request: Annotated[Path, Parameter(help="Certificate request (PEM), as `certs request` makes it.")],
    *,
    ca: Annotated[Path, Parameter(name="--ca", help="Folder of the development authority.")],
    identity: Identity,
    dns: Dns = None,
    days: Annotated[int, Parameter(name="--days", help="Lifetime in days, 1 to 365.")] = 90,
    out: Annotated[Path, Parameter(name="--out", help="The certificate (PEM).")],
    ca_out: Annotated[
        Path | None, Parameter(name="--ca-out", help="Write the authority's certificate here, for the holder's `ca`.")
    ] = None,
    json: Json = False,
) -> None:
    """Sign a certificate request with the development authority.

    The signer says who asks (--identity, --dns), and a request for anybody or anything else is refused: what stands in
    a request is a wish. In operation each domain's own authority does this; certs/README.md says what it must put in.
    """
    holder = parse_identity(identity)
    check_dns(holder, dns)
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"--days must be 1 to {MAX_DAYS}")
    key = _requested_key(request, [holder.uri], [] if dns is None else [dns])
    authority = DevCa.load(ca)
    leaf = leaf_of(holder, now=datetime.now(UTC), names=[] if dns is None else [dns], days=days)
    out.write_bytes(authority.certify(leaf, key).public_bytes(Encoding.PEM))
    if ca_out is not None:
        ca_out.write_bytes((ca / CA).read_bytes())
    document = {"cert": str(out), "ca": None if ca_out is None else str(ca_out), "identity": holder.uri, "dns": dns}
    show(document, lambda: [facts("Certificate", document)], as_json=json)


def _requested_key(file: Path, uris: list[str], names: list[str]) -> ec.EllipticCurvePublicKey:
    """The key of a request for exactly these names. Raises :class:`UsageError` or :class:`RefusedError`."""
    data = read_file(file, MAX_FILE_BYTES, "name the request that the holder sent")
    try:
        request = x509.load_pem_x509_csr(data)
        signed, key = request.is_signature_valid, request.public_key()
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        asked = extension.get_values_for_type(x509.UniformResourceIdentifier)
        asked_names = extension.get_values_for_type(x509.DNSName)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        remedy = "have it made by: tiergate certs request"
        raise UsageError(f"{file} is not a certificate request with names", remedy) from error
    if not signed or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{file} is not signed by a P-256 key of its own", "have it made by: tiergate certs request")
    if (asked, asked_names) != (uris, names) or len(list(extension)) != len(uris) + len(names):
        wanted = ", ".join([*uris, *names])
        text = f"{file} does not ask for exactly {wanted}"
        raise RefusedError(
            "REQUEST_MISMATCH", text, "name with --identity and --dns whom you mean, or have it made anew"
        )
    return key
