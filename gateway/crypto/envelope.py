"""Signed files: DSSE envelopes (Dead Simple Signing Envelope, v1) under a root that is installed out of band.

The payload's exact bytes are signed together with their type and carried along, so that nothing is re-serialised and a
signed directory can never pass as a bundle. The root names the authorities and, per payload type, how many distinct
ones must have signed; it is a file handed over by people, never fetched from the gateway.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature

from gateway.crypto.jws import strict_object
from gateway.crypto.keys import PrivateKey, Verify, parse_jwk, public_jwk, thumbprint, verifier
from gateway.crypto.keys import sign as sign_bytes
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

BUNDLE_TYPE = "application/vnd.tiergate.bundle+json"
DIRECTORY_TYPE = "application/vnd.tiergate.directory+json"
PAYLOAD_TYPES: frozenset[str] = frozenset({BUNDLE_TYPE, DIRECTORY_TYPE})
MAX_ENVELOPE_BYTES = 4 * 1024 * 1024
MAX_ROOT_BYTES = 64 * 1024
MAX_SIGNATURES = 32
_ROOT_FORMAT = "tiergate-root/1"


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

    def to_json(self) -> bytes:
        """The root as a file for :func:`read_root`."""
        return rfc8785.dumps(
            {
                "format": _ROOT_FORMAT,
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
    if payload_type not in PAYLOAD_TYPES or not 0 < len(keys) <= MAX_SIGNATURES:
        raise TiergateError(Reason.SIGNATURE_INVALID, "nothing to sign with, or unknown payload type")
    data = pae(payload_type, payload)
    signatures = [
        {"keyid": thumbprint(public_jwk(key)), "sig": b64encode(sign_bytes(key, data)).decode("ascii")} for key in keys
    ]
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


def verify(root: Root, payload_type: str, envelope: bytes) -> bytes:
    """The payload, if enough distinct authorities of the root signed it as ``payload_type``.

    Signatures by keys outside the root are passed over, so that files can be signed for two roots at once. Raises
    SIGNATURE_INVALID for everything else: malformed or oversized envelope, another type, too few signatures, a root
    without authorities or without a positive threshold for the type.
    """
    threshold = root.thresholds.get(payload_type, 0)
    trusted = _trusted(root, payload_type)
    if payload_type not in PAYLOAD_TYPES or threshold < 1 or not trusted:
        raise TiergateError(Reason.SIGNATURE_INVALID, "the root lets nobody sign files of this type")
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise TiergateError(Reason.SIGNATURE_INVALID, f"signed file is larger than {MAX_ENVELOPE_BYTES} bytes")
    try:
        payload, signatures = _parse(envelope, payload_type)
    except (ValueError, KeyError) as error:
        raise TiergateError(Reason.SIGNATURE_INVALID, "malformed envelope") from error
    data = pae(payload_type, payload)
    signers: set[str] = set()
    for keyid, signature in signatures:
        if keyid in trusted:
            name, check = trusted[keyid]
            try:
                check(signature, data)
            except InvalidSignature:
                continue  # worth nothing, like a missing one; the count below decides
            signers.add(name)
    if len(signers) < threshold:
        raise TiergateError(
            Reason.SIGNATURE_INVALID, f"{len(signers)} of the root's authorities signed; {threshold} are needed"
        )
    return payload


def read_root(path: Path) -> Root:
    """Read ``root.json``. Raises CONFIG_INVALID, as a :class:`ProblemsError`, naming each problem."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_ROOT_BYTES + 1)
    except OSError as error:
        raise _root_error(path, "", f"cannot be read ({error.strerror})") from error
    if len(data) > MAX_ROOT_BYTES:
        raise _root_error(path, "", f"is larger than {MAX_ROOT_BYTES} bytes")
    try:
        document = strict_object(data)
    except ValueError as error:
        raise _root_error(path, "", f"is not a JSON object: {error}") from error
    if document.get("format") != _ROOT_FORMAT or set(document) != {"format", "authorities", "thresholds"}:
        raise _root_error(path, "", f'must have just format "{_ROOT_FORMAT}", authorities, thresholds')
    authorities, thresholds = document["authorities"], document["thresholds"]
    if not isinstance(authorities, list) or not authorities or not isinstance(thresholds, dict):
        raise _root_error(path, "authorities", "at least one authority and its thresholds are needed")
    items = tuple(_authority(path, place, item) for place, item in enumerate(authorities))
    problems = _root_problems(path, items, thresholds)
    if problems:
        raise ProblemsError(Reason.CONFIG_INVALID, problems)
    return Root(items, thresholds)


def _trusted(root: Root, payload_type: str) -> dict[str, tuple[str, Verify]]:
    """Authority name and verify function by key id, of those who may sign this type."""
    return {
        item.keyid: (item.name, verifier(parse_jwk(item.jwk)))
        for item in root.authorities
        if payload_type in item.payload_types
    }


def _parse(envelope: bytes, payload_type: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Payload and (keyid, signature) pairs. ValueError or KeyError for any other form."""
    document = strict_object(envelope)
    signatures = document["signatures"]
    if set(document) != {"payloadType", "payload", "signatures"} or document["payloadType"] != payload_type:
        raise ValueError("members or payload type")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MAX_SIGNATURES:
        raise ValueError("number of signatures")
    pairs: list[tuple[str, bytes]] = []
    for item in signatures:
        if not isinstance(item, dict) or set(item) != {"keyid", "sig"} or not isinstance(item["keyid"], str):
            raise ValueError("signature members")
        pairs.append((item["keyid"], _base64(item["sig"])))
    return _base64(document["payload"]), pairs


def _base64(text: object) -> bytes:
    """Standard base64 with padding, in its one canonical spelling; ValueError otherwise."""
    if not isinstance(text, str) or not text.isascii():
        raise ValueError("not base64")
    raw = binascii.a2b_base64(text, strict_mode=True)
    if b64encode(raw).decode("ascii") != text:
        raise ValueError("not canonical base64")
    return raw


def _authority(path: Path, place: int, item: Any) -> Authority:
    where = f"authorities.{place}"
    if not isinstance(item, dict) or set(item) != {"name", "keyid", "jwk", "payload_types"}:
        raise _root_error(path, where, "must have just name, keyid, jwk, payload_types")
    name, jwk, types = item["name"], item["jwk"], item["payload_types"]
    if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable():
        raise _root_error(path, f"{where}.name", "must be 1 to 64 printable characters")
    if not isinstance(types, list) or not types or not all(kind in sorted(PAYLOAD_TYPES) for kind in types):
        raise _root_error(path, f"{where}.payload_types", f"must be some of {', '.join(sorted(PAYLOAD_TYPES))}")
    if not isinstance(jwk, dict) or not all(isinstance(value, str) for value in jwk.values()):
        raise _root_error(path, f"{where}.jwk", "must be a public key")
    try:
        parse_jwk(jwk)
    except TiergateError as error:
        raise _root_error(
            path, f"{where}.jwk", "must be a public P-256 or Ed25519 key without other members"
        ) from error
    if item["keyid"] != thumbprint(jwk):
        raise _root_error(path, f"{where}.keyid", "is not the key's thumbprint (RFC 7638)")
    return Authority(name, jwk, frozenset(types))


def _root_problems(path: Path, authorities: Sequence[Authority], thresholds: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    if len({item.keyid for item in authorities}) != len(authorities):
        # under two names one key would count as two authorities
        problems.append(Problem(path.name, "authorities", "a key is listed twice"))
    if not thresholds:
        problems.append(Problem(path.name, "thresholds", "is empty"))
    for kind, threshold in thresholds.items():
        able = len({item.name for item in authorities if kind in item.payload_types})
        if kind not in PAYLOAD_TYPES:
            # strict JSON can hold lone surrogates, which no terminal can be sent
            shown = f".{kind}" if kind.isprintable() else ""
            problems.append(Problem(path.name, f"thresholds{shown}", "unknown payload type"))
        elif type(threshold) is not int or not 1 <= threshold <= able:
            problems.append(
                Problem(path.name, f"thresholds.{kind}", f"must be 1 to {able}, the authorities that may sign")
            )
    return problems


def _root_error(path: Path, where: str, message: str) -> ProblemsError:
    return ProblemsError(
        Reason.CONFIG_INVALID,
        [Problem(path.name, where, message, "install the root file that the authorities handed over")],
    )
