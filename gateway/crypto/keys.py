"""Signing keys, public JWKs and verification rings by purpose.

The algorithm always comes from the key, never from a token's header (RFC 8725, section 3.1). ES256 is P-256 with
SHA-256 and a raw ``r || s`` signature (RFC 7518, section 3.4); EdDSA is Ed25519 (RFC 8037). A ring has one purpose, so
that a key of one purpose cannot verify anything of another.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import rfc8785
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from gateway.domain.directory import DirectoryKey, KeyPurpose
from gateway.errors import Reason, TiergateError

Algorithm = Literal["ES256", "EdDSA"]
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
Verify = Callable[[bytes, bytes], None]
"""``verify(signature, data)`` returns None or raises :class:`cryptography.exceptions.InvalidSignature`."""

_ECDSA = ec.ECDSA(hashes.SHA256())
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # SEC 2, section 2.4.2
_FIELD_BYTES = 32


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def generate_signing_key(alg: Algorithm) -> PrivateKey:
    """A new private key for an algorithm."""
    return ec.generate_private_key(ec.SECP256R1()) if alg == "ES256" else ed25519.Ed25519PrivateKey.generate()


def write_private_key(path: Path, key: PrivateKey) -> None:
    """Write PEM PKCS #8, readable by its owner alone. An existing file is never overwritten (FileExistsError)."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_secret(path, pem)


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that its owner alone can read. An existing one is never overwritten (FileExistsError)."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def load_private_key(path: Path) -> PrivateKey:
    """Read a PEM PKCS #8 key. Raises KEY_INVALID if it is absent, readable by others, or of another kind."""
    try:
        if path.stat().st_mode & 0o077:
            raise TiergateError(Reason.KEY_INVALID, f"{path.name} can be read by others; chmod 600")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
        raise TiergateError(Reason.KEY_INVALID, f"{path.name} is not a readable key file") from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise TiergateError(Reason.KEY_INVALID, f"{path.name} is neither P-256 nor Ed25519")


def algorithm_of(key: PrivateKey | PublicKey) -> Algorithm:
    """The one algorithm that a key is used with."""
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) else "EdDSA"


def public_jwk(key: PrivateKey | PublicKey) -> dict[str, str]:
    """Public JWK with the required members only (RFC 7517; RFC 7518, section 6.2; RFC 8037, section 2)."""
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) else key
    if isinstance(public, ed25519.Ed25519PublicKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"crv": "Ed25519", "kty": "OKP", "x": b64url(raw)}
    numbers = public.public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": b64url(numbers.x.to_bytes(_FIELD_BYTES, "big")),
        "y": b64url(numbers.y.to_bytes(_FIELD_BYTES, "big")),
    }


def thumbprint(jwk: Mapping[str, str]) -> str:
    """JWK thumbprint, SHA-256, base64url (RFC 7638); ``jwk`` holds the required members only."""
    return b64url(hashlib.sha256(rfc8785.dumps(dict(jwk))).digest())


def _coordinate(jwk: Mapping[str, str], name: str) -> bytes:
    text = jwk[name]
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(raw) != _FIELD_BYTES or b64url(raw) != text:
        raise ValueError(name)
    return raw


def parse_jwk(jwk: Mapping[str, str]) -> PublicKey:
    """A public key from a JWK with exactly the required members; anything else raises KEY_INVALID."""
    try:
        if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519" and set(jwk) == {"kty", "crv", "x"}:
            return ed25519.Ed25519PublicKey.from_public_bytes(_coordinate(jwk, "x"))
        if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256" and set(jwk) == {"kty", "crv", "x", "y"}:
            x, y = (int.from_bytes(_coordinate(jwk, name), "big") for name in ("x", "y"))
            return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except (ValueError, TypeError) as error:
        raise TiergateError(Reason.KEY_INVALID, "JWK values") from error
    raise TiergateError(Reason.KEY_INVALID, "JWK of an unsupported kind or with unexpected members")


def sign(key: PrivateKey, data: bytes) -> bytes:
    """Sign in JWS form: 64 bytes for both algorithms."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    r, s = decode_dss_signature(key.sign(data, _ECDSA))
    return r.to_bytes(_FIELD_BYTES, "big") + s.to_bytes(_FIELD_BYTES, "big")


def verifier(key: PublicKey) -> Verify:
    """The verify function of a key, with everything that can be prepared done once."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.verify
    check = key.verify

    def verify_es256(signature: bytes, data: bytes) -> None:
        if len(signature) != 2 * _FIELD_BYTES:
            raise InvalidSignature
        r = int.from_bytes(signature[:_FIELD_BYTES], "big")
        s = int.from_bytes(signature[_FIELD_BYTES:], "big")
        if not (0 < r < _P256_ORDER and 0 < s < _P256_ORDER):  # CVE-2022-21449: zero must never verify
            raise InvalidSignature
        check(encode_dss_signature(r, s), data, _ECDSA)

    return verify_es256


class KeyRing:
    """The verification keys of one owner for one purpose.

    An empty ring refuses everything: with no key, nothing verifies.
    """

    __slots__ = ("_keys", "purpose")

    def __init__(self, purpose: KeyPurpose, keys: Iterable[DirectoryKey]) -> None:
        """Take the keys of ``purpose`` out of ``keys``. Raises KEY_INVALID for a bad or doubled key."""
        self.purpose = purpose
        self._keys: dict[str, tuple[Algorithm, Verify]] = {}
        for item in keys:
            if item.purpose != purpose:
                continue
            public = parse_jwk(item.jwk)
            if algorithm_of(public) != item.alg or item.kid in self._keys:
                raise TiergateError(Reason.KEY_INVALID, f"directory key {item.kid}")
            self._keys[item.kid] = (item.alg, verifier(public))

    def get(self, kid: str) -> tuple[Algorithm, Verify]:
        """Algorithm and verify function of a key id. Raises TOKEN_KEY_UNKNOWN."""
        found = self._keys.get(kid)
        if found is None:
            raise TiergateError(Reason.TOKEN_KEY_UNKNOWN, f"no {self.purpose} key of that id")
        return found

    def __contains__(self, kid: str) -> bool:
        return kid in self._keys
