"""What a resident's device does: its public key for a grant, and the presentation that it shows at a desk.

An app does the same with its platform's key store. Here the key is a PEM file (``tiergate certs key --purpose proof``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.cli.options import Json
from gateway.cli.output import UsageError, facts, show
from gateway.errors import TiergateError

_MAX_KEY_BYTES = 2048
_MAX_TOKEN_BYTES = 4096


def read_device_key(path: Path) -> dict[str, Any]:
    """A public key (JWK) as ``DeviceKey`` of the contract. Raises :class:`UsageError` that says what it is not."""
    from gateway.cli.client import read_file
    from gateway.crypto.jws import strict_object
    from gateway.crypto.keys import parse_jwk

    data = read_file(path, _MAX_KEY_BYTES, "name the JWK that the device has handed over")
    try:
        jwk = strict_object(data)
    except ValueError as error:
        raise UsageError(f"{path} is not a JWK", "a JSON object with kty, crv, x and y, or kty, crv and x") from error
    if "d" in jwk:
        raise UsageError(f"{path} is a private key", "it stays in the device; take its public part alone")
    try:
        if not all(isinstance(value, str) for value in jwk.values()):
            raise UsageError(f"{path} has members that are no text", "leave out all but kty, crv, x and y")
        parse_jwk(jwk)
    except TiergateError as error:
        raise UsageError(f"{path} is not a usable key ({error.detail})", "P-256 or Ed25519, public part") from error
    return device_key(jwk)


def device_key(jwk: Mapping[str, str]) -> dict[str, Any]:
    """The members of ``DeviceKey`` for a sound public key."""
    from gateway.crypto.jws import decode_segment

    kind = "KEY_TYPE_P256" if jwk["kty"] == "EC" else "KEY_TYPE_ED25519"
    x, y = (decode_segment(jwk.get(name, "").encode("ascii")) for name in ("x", "y"))
    return {"type": kind, "x": x, "y": y}


def present(
    *,
    token_file: Annotated[Path, Parameter(name="--token-file", help="File with the consent token.")],
    key: Annotated[Path, Parameter(name="--key", help="The device's private key (PEM) that the token is bound to.")],
    scenario: Annotated[
        str | None, Parameter(name="--scenario", help="Which scenario. Default: the only one that the token names.")
    ] = None,
    qr: Annotated[
        Path | None, Parameter(name="--qr", help="Write the QR code to this new PNG. Default: print its content.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a fresh proof with a device's key, and show token and proof as a QR code.

    It is good once, and for a minute.
    """
    import time

    from gateway.cli.client import read_file
    from gateway.cli.qr import draw_qr
    from gateway.cli.secret_file import secret_files
    from gateway.crypto.consent import new_id, token_hash
    from gateway.crypto.jws import parse
    from gateway.crypto.keys import load_private_key
    from gateway.crypto.proof import issue_device_proof
    from gateway.crypto.shown import Shown, encode_shown

    data = read_file(token_file, _MAX_TOKEN_BYTES, "name the file that `consent grant --out` wrote")
    token = data.decode("ascii", "replace").strip()
    claims = parse(token, "consent+jwt").claims  # read, not verified: whoever is asked verifies it
    proof = issue_device_proof(
        load_private_key(key),
        token_hash=token_hash(token),
        operator=str(claims.get("azp")),
        scenario=scenario or _only_scenario(claims),
        issued_at=int(time.time()),
        proof_id=new_id(),
    )
    content = encode_shown(Shown(token, proof))
    with secret_files(qr) as files:
        if qr is not None:
            files.write(qr, draw_qr(content))
    document = {"content": content, "qr_file": None if qr is None else str(qr)}
    show(document, lambda: [content if qr is None else facts("Presentation", {"QR code": str(qr)})], as_json=json)


def _only_scenario(claims: dict[str, Any]) -> str:
    details = claims.get("authorization_details")
    named = [item.get("scenario") for item in details if isinstance(item, dict)] if isinstance(details, list) else []
    if len(named) != 1:
        raise UsageError("the token does not name just one scenario", "say which with --scenario")
    return str(named[0])
