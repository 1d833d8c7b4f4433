"""``tiergate policy root`` and ``notice``: documents of authorities, still to be signed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from gateway.cli.options import Json
from gateway.cli.output import UsageError, facts, show

if TYPE_CHECKING:
    from gateway.cli.policy_sign import Kind
    from gateway.domain.directory import Maintenance

_SIGNS: tuple[Kind, ...] = ("bundle", "directory", "root")


def make_root(
    *,
    authority: Annotated[
        list[str],
        Parameter(
            name="--authority",
            negative="",
            help="NAME=FILE, a public key (PEM or JWK); may be repeated. Several keys of one name count once.",
        ),
    ],
    threshold: Annotated[
        list[str],
        Parameter(
            name="--threshold",
            negative="",
            help="KIND=N: how many authorities must sign a bundle, directory or root; all three must be given.",
        ),
    ],
    expires: Annotated[str, Parameter(name="--expires", help="End of its validity, such as 2028-01-01T00:00Z.")],
    out: Annotated[Path, Parameter(name="--out", help="The root. Version 1 is handed over out of band as it is.")],
    version: Annotated[int, Parameter(name="--version", help="One more than that of the root before.")] = 1,
    json: Json = False,
) -> None:
    """Make a root: who may sign policies and directories, and how many of them must.

    Version 1 is installed by hand. A later one must be signed by enough authorities of the root before and by enough
    of its own (`policy sign --type root`), and is installed beside the first (`policy publish`).
    """
    from gateway.cli.policy import seconds_of
    from gateway.cli.policy_sign import describe, payload_type_of
    from gateway.crypto.envelope import PAYLOAD_TYPES, Authority, Root

    authorities = []
    for item in authority:
        name, _, file = item.partition("=")
        if not name or not file:
            raise UsageError(f"--authority {item} is not NAME=FILE")
        authorities.append(Authority(name, _public_key(Path(file)), PAYLOAD_TYPES))
    thresholds: dict[str, int] = {}
    for item in threshold:
        name, _, count = item.partition("=")
        kind = next((kind for kind in _SIGNS if kind == name), None)
        if kind is None or not count.isdecimal():
            raise UsageError(f"--threshold {item} is not KIND=N", f"KIND is one of {', '.join(_SIGNS)}")
        thresholds[payload_type_of(kind)] = int(count)
    data = Root(tuple(authorities), thresholds, version, seconds_of(expires, "--expires")).to_json()
    document = {"file": str(out), **describe("root", data)}
    if set(thresholds) != PAYLOAD_TYPES:
        raise UsageError("a threshold is missing", "give one each for bundle, directory and root")
    out.write_bytes(data)
    show(document, lambda: [facts("Root", document)], as_json=json)


def _public_key(path: Path) -> dict[str, str]:
    """The public JWK in a file: a JWK, a public key (PEM, SubjectPublicKeyInfo), or a private one."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from gateway.cli.client import read_file
    from gateway.crypto.jws import strict_object
    from gateway.crypto.keys import public_jwk

    data = read_file(path, 64 * 1024, "name the authority's public key")
    try:
        if data.lstrip().startswith(b"{"):
            return {str(name): str(value) for name, value in strict_object(data).items()}
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path} holds no public key", "a public key as PEM or JWK; no private one is needed"
        ) from error
    if not isinstance(key, EllipticCurvePublicKey | Ed25519PublicKey):
        raise UsageError(f"{path} is neither a P-256 nor an Ed25519 key")
    return public_jwk(key)


def make_notice(
    *,
    remove_key: Annotated[
        list[str] | None,
        Parameter(
            name="--remove-key",
            negative="",
            allow_leading_hyphen=True,
            help="RFC 7638 thumbprint of a listed key; may be repeated.",
        ),
    ] = None,
    remove_peer: Annotated[
        list[str] | None,
        Parameter(name="--remove-peer", negative="", help="SPIFFE id of a listed peer; may be repeated."),
    ] = None,
    maintenance: Annotated[
        list[str] | None,
        Parameter(name="--maintenance", negative="", help="PEER=FROM/UNTIL, at most 72 hours; a city or gateway."),
    ] = None,
    out: Annotated[Path, Parameter(name="--out", help="The notice, to be signed: tiergate policy sign --type notice")],
    json: Json = False,
) -> None:
    """Make a notice: remove a key or a peer at once, or announce the maintenance of a city or of the gateway.

    One authority's signature is enough, since a notice can only take away. What it removes stays removed until a newer
    directory, signed by as many authorities as the root asks for, lists it again.
    """
    from gateway.cli.policy_sign import describe
    from gateway.policy.notices import Notice, build_notice

    planned = tuple(_maintenance(item) for item in maintenance or ())
    data = build_notice(Notice(int(time.time()), tuple(remove_key or ()), tuple(remove_peer or ()), planned))
    out.write_bytes(data)
    document = {"file": str(out), **describe("notice", data)}
    show(document, lambda: [facts("Notice", document)], as_json=json)


def _maintenance(text: str) -> Maintenance:
    from gateway.cli.policy import seconds_of
    from gateway.domain.directory import Maintenance

    peer, _, window = text.partition("=")
    starts, _, ends = window.partition("/")
    if not peer or not ends:
        raise UsageError(f"--maintenance {text} is not PEER=FROM/UNTIL", "xiamen=2026-12-01T02:00Z/2026-12-01T04:00Z")
    return Maintenance(peer, seconds_of(starts, "--maintenance"), seconds_of(ends, "--maintenance"))
