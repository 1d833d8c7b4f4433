"""Signed files: DSSE envelopes (Dead Simple Signing Envelope, v1) under a root whose first version comes out of band.

The payload's exact bytes are signed together with their type and carried along, so that nothing is re-serialised and a
signed directory can never pass as a bundle. The root names the authorities and, per payload type, how many distinct
ones must have signed; a notice (``policy.notices``), which can only take away, is good with the signature of any one.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import rfc8785
from cryptography.exceptions import InvalidSignature

from gateway.crypto.jws import strict_object
from gateway.crypto.keys import PrivateKey, Verify, parse_jwk, public_jwk, thumbprint, verifier
from gateway.crypto.keys import sign as sign_bytes
from gateway.crypto.signed_schema import (
    MAX_SIGNATURES,
    NEVER_S,
    BundleType,
    DirectoryType,
    EnvelopeDoc,
    NoticeType,
    RootFormat,
    RootType,
)
from gateway.errors import Reason, TiergateError

BUNDLE_TYPE: Final[BundleType] = "application/vnd.tiergate.bundle+json"
DIRECTORY_TYPE: Final[DirectoryType] = "application/vnd.tiergate.directory+json"
ROOT_TYPE: Final[RootType] = "application/vnd.tiergate.root+json"
NOTICE_TYPE: Final[NoticeType] = "application/vnd.tiergate.notice+json"
PAYLOAD_TYPES: frozenset[str] = frozenset({BUNDLE_TYPE, DIRECTORY_TYPE, ROOT_TYPE})
"""What a root has a threshold for."""
SIGNED_TYPES: frozenset[str] = PAYLOAD_TYPES | {NOTICE_TYPE}
_PIECE = 256 * 1024
"""Characters of base64, whole groups of four, decoded at a time: while it lasts, no other thread gets a turn."""
MAX_ENVELOPE_BYTES = 24 * 1024 * 1024
"""The largest payload, a bundle's 16 MiB, as base64, and the signatures."""
ROOT_FORMAT: Final[RootFormat] = "tiergate-root/1"


@dataclass(frozen=True, slots=True)
class Authority:
    """One key of an authority. Two entries of one ``name`` are two keys of one authority and count once.

    ``jwk`` is a public P-256 or Ed25519 JWK with the required members only.
    """

    name: str
    jwk: Mapping[str, str]
    payload_types: frozenset[str]

    @property
    def keyid(self) -> str:
        """The key's thumbprint (RFC 7638)."""
        return thumbprint(self.jwk)


@dataclass(frozen=True, slots=True)
class Root:
    """Whom this installation trusts to sign files, and how many distinct authorities each payload type takes."""

    authorities: tuple[Authority, ...]
    thresholds: Mapping[str, int]
    version: int = 1
    expires: int = NEVER_S
    """Unix seconds. What was signed under an expired root is refused, until a newer root has been installed."""
    before: Root | None = None
    """The root that it followed, if that was read as well."""

    def to_json(self) -> bytes:
        """The root as a file for ``root_files.read_root``, or as the payload of a signed one."""
        return rfc8785.dumps(
            {
                "format": ROOT_FORMAT,
                "version": self.version,
                "expires": self.expires,
                "authorities": [
                    {
                        "name": item.name,
                        "keyid": item.keyid,
                        "jwk": dict(item.jwk),
                        "payload_types": sorted(item.payload_types),
                    }
                    for item in self.authorities
                ],
                "thresholds": dict(self.thresholds),
            }
        )


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding of DSSE v1: what is signed. Lengths are in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, keys: Sequence[PrivateKey]) -> bytes:
    """An envelope over ``payload``, signed with each key. Raises SIGNATURE_INVALID without keys or for another type."""
    if payload_type not in SIGNED_TYPES or not 0 < len(keys) <= MAX_SIGNATURES:
        raise TiergateError(Reason.SIGNATURE_INVALID, "nothing to sign with, or unknown payload type")
    data = pae(payload_type, payload)
    return _wrap(payload_type, payload, [(thumbprint(public_jwk(key)), sign_bytes(key, data)) for key in keys])


def countersign(envelope: bytes, keys: Sequence[PrivateKey]) -> bytes:
    """The envelope with signatures added, so that authorities can sign one after the other, each at its own place.

    A key that has signed before replaces its signature. Raises SIGNATURE_INVALID as :func:`sign` and :func:`read` do.
    """
    payload_type, payload, before = read(envelope)
    data = pae(payload_type, payload)
    added = {thumbprint(public_jwk(key)): sign_bytes(key, data) for key in keys}
    signatures = [*(item for item in before if item[0] not in added), *added.items()]
    if not added or len(signatures) > MAX_SIGNATURES:
        raise TiergateError(Reason.SIGNATURE_INVALID, f"nothing to sign with, or more than {MAX_SIGNATURES} signatures")
    return _wrap(payload_type, payload, signatures)


def _wrap(payload_type: str, payload: bytes, pairs: Sequence[tuple[str, bytes]]) -> bytes:
    signatures = [{"keyid": keyid, "sig": b64encode(signature).decode("ascii")} for keyid, signature in pairs]
    envelope = rfc8785.dumps(
        {
            "payloadType": payload_type,
            "payload": b64encode(payload).decode("ascii"),
            "signatures": signatures,
        }
    )
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise TiergateError(Reason.SIGNATURE_INVALID, f"the signed file would exceed {MAX_ENVELOPE_BYTES} bytes")
    return envelope


def read(envelope: bytes) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    """Type, payload and (key id, signature) pairs, none of them verified: to be shown, never to be acted on.

    Raises SIGNATURE_INVALID for a malformed or oversized envelope, or one of an unknown type.
    """
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise TiergateError(Reason.SIGNATURE_INVALID, f"signed file is larger than {MAX_ENVELOPE_BYTES} bytes")
    try:
        return _parse(envelope)
    except (ValueError, KeyError) as error:
        raise TiergateError(Reason.SIGNATURE_INVALID, "malformed envelope") from error


def signers(root: Root, payload_type: str, envelope: bytes) -> frozenset[str]:
    """Names of the root's authorities whose signatures count. Raises SIGNATURE_INVALID as :func:`verify` does."""
    return _signers(root, payload_type, envelope)[1]


def verify(root: Root, payload_type: str, envelope: bytes) -> bytes:
    """The payload, if enough distinct authorities of the root signed it as ``payload_type``.

    Signatures by keys outside the root are passed over, so that files can be signed for two roots at once. Raises
    SIGNATURE_INVALID for everything else: malformed or oversized envelope, another type, too few signatures, a root
    without authorities or without a positive threshold for the type.
    """
    payload, found = _signers(root, payload_type, envelope)
    threshold = threshold_of(root, payload_type)
    if len(found) < threshold:
        raise TiergateError(
            Reason.SIGNATURE_INVALID, f"{len(found)} of the root's authorities signed; {threshold} are needed"
        )
    return payload


def verify_under(root: Root, payload_type: str, envelope: bytes) -> tuple[bytes, Root]:
    """The payload, and the newest root under which :func:`verify` gives it: ``root``, or one that it followed.

    For whoever looks back at what was in force once. Whoever acts on a file asks :func:`verify`: a key that was lost,
    and replaced by a newer root for that, still signs under the older one. Raises SIGNATURE_INVALID if there is none.
    """
    try:
        return verify(root, payload_type, envelope), root
    except TiergateError:
        if root.before is None:
            raise
        return verify_under(root.before, payload_type, envelope)


def threshold_of(root: Root, payload_type: str) -> int:
    """How many distinct authorities must sign: one for a notice, since it can only take away; 0: the root lets none."""
    return 1 if payload_type == NOTICE_TYPE else root.thresholds.get(payload_type, 0)


def _signers(root: Root, payload_type: str, envelope: bytes) -> tuple[bytes, frozenset[str]]:
    trusted = _trusted(root, payload_type)
    if payload_type not in SIGNED_TYPES or threshold_of(root, payload_type) < 1 or not trusted:
        raise TiergateError(Reason.SIGNATURE_INVALID, "the root lets nobody sign files of this type")
    found, payload, signatures = read(envelope)
    if found != payload_type:
        raise TiergateError(Reason.SIGNATURE_INVALID, "malformed envelope")
    data = pae(payload_type, payload)
    names: set[str] = set()
    for keyid, signature in signatures:
        if keyid in trusted:
            name, check = trusted[keyid]
            try:
                check(signature, data)
            except InvalidSignature:
                continue  # worth nothing, like a missing one; the count decides
            names.add(name)
    return payload, frozenset(names)


def _trusted(root: Root, payload_type: str) -> dict[str, tuple[str, Verify]]:
    """Authority name and verify function by key id, of those who may sign this type: a notice, who may a directory."""
    kind = DIRECTORY_TYPE if payload_type == NOTICE_TYPE else payload_type
    return {
        item.keyid: (item.name, verifier(parse_jwk(item.jwk)))
        for item in root.authorities
        if kind in item.payload_types
    }


def _parse(envelope: bytes) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    """Type, payload and (keyid, signature) pairs. ValueError or KeyError for any other form."""
    document = EnvelopeDoc.model_validate(strict_object(envelope))
    pairs = [(item.keyid, _base64(item.sig)) for item in document.signatures]
    return document.payload_type, _base64(document.payload), pairs


def _base64(text: object) -> bytes:
    """Standard base64 with padding, in its one canonical spelling; ValueError otherwise."""
    if not isinstance(text, str) or not text.isascii() or "=" in text[:-2]:
        raise ValueError("not base64")
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    raw = b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in pieces)
    if b64encode(raw[len(raw) - (len(raw) % 3 or 3) :]).decode("ascii") != text[-4:]:
        raise ValueError("not canonical base64")  # in the last group alone bits can be left over
    return raw
