"""C2SP signed-note: text signed by named keys; verifier keys (vkeys), signer keys, opening and signing.

Supported signature types: 0x01 Ed25519, and on checkpoints the cosignatures 0x04 (Ed25519) and 0x06 (ML-DSA-44).
Everything malformed or unverified raises NOTE_INVALID; keys that cannot be read raise KEY_INVALID.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from gateway.consentlog import cosignature
from gateway.consentlog.encoding import decode_base64, encode_base64
from gateway.errors import Reason, TiergateError

ED25519 = 0x01
COSIGNATURE_V1 = 0x04
COSIGNATURE_MLDSA44 = 0x06
COSIGNATURES = frozenset({COSIGNATURE_V1, COSIGNATURE_MLDSA44})
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
"""More than the 16 that the specification requires, and Go's limit, so that what Go opens we open."""

_KEY_SIZE = {ED25519: 32, COSIGNATURE_V1: 32, COSIGNATURE_MLDSA44: 1312}
_NAME = re.compile(r"[^\s+\x00-\x1f\ud800-\udfff]+\Z")
_KEY_ID = re.compile(r"[0-9a-f]{8}\Z")
_SIGNATURE_LINE = re.compile("— ([^ ]+) ([A-Za-z0-9+/=]+)\\Z")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """The 4-byte key id: SHA-256(name || newline || type || public key)[:4]."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A vkey: key name, signature type, raw public key. ``str`` gives its text form ``<name>+<id>+<key>``."""

    name: str
    kind: int
    public: bytes
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or len(self.public) != _KEY_SIZE.get(self.kind):
            raise TiergateError(Reason.KEY_INVALID, "verifier key with a bad name, type or length")
        object.__setattr__(self, "id", key_id(self.name, self.kind, self.public))

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode_base64(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read the text form; KEY_INVALID unless name, id and key agree and the type is supported."""
        name, identifier, kind, public = _parse_key(text)
        return _with_id(cls(name, kind, public), identifier)

    def verify(self, text: str, signature: bytes) -> int | None:
        """Check one signature over a note text; the time (POSIX seconds) of a cosignature, else None.

        Raises NOTE_INVALID.
        """
        try:
            if self.kind == ED25519:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
                return None
            timestamp, inner = cosignature.split_timestamp(signature)
            if self.kind == COSIGNATURE_V1:
                message = cosignature.ed25519_message(text, timestamp)
                Ed25519PublicKey.from_public_bytes(self.public).verify(inner, message)
            else:
                message = cosignature.mldsa44_message(self.name, text, timestamp)
                MLDSA44PublicKey.from_public_bytes(self.public).verify(inner, message)
        except (InvalidSignature, ValueError) as error:
            raise TiergateError(Reason.NOTE_INVALID, "a signature of a known key does not verify") from error
        return timestamp


@dataclass(frozen=True, slots=True)
class SignerKey:
    """An Ed25519 key that signs notes (``kind`` 0x01) or cosigns checkpoints (0x04). Its repr shows no key."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)
    kind: int = ED25519
    verifier: VerifierKey = field(init=False)

    def __post_init__(self) -> None:
        if self.kind not in (ED25519, COSIGNATURE_V1):
            raise TiergateError(Reason.KEY_INVALID, "signer key of a type that cannot sign")
        public = self.private.public_key().public_bytes_raw()
        object.__setattr__(self, "verifier", VerifierKey(self.name, self.kind, public))

    @classmethod
    def generate(cls, name: str, kind: int = ED25519) -> SignerKey:
        """A fresh key."""
        return cls(name, Ed25519PrivateKey.generate(), kind)

    @classmethod
    def parse(cls, text: str) -> SignerKey:
        """Read ``PRIVATE+KEY+<name>+<id>+<key>``; KEY_INVALID unless all of it agrees."""
        prefix, marker, rest = text.partition("PRIVATE+KEY+")
        if prefix or not marker:
            raise TiergateError(Reason.KEY_INVALID, "not a signer key")
        name, identifier, kind, seed = _parse_key(rest)
        if len(seed) != 32:
            raise TiergateError(Reason.KEY_INVALID, "signer key of a wrong length")
        signer = cls(name, Ed25519PrivateKey.from_private_bytes(seed), kind)
        _with_id(signer.verifier, identifier)
        return signer

    def to_secret_text(self) -> str:
        """The text form, private key included: for a file only its owner can read, never for a log."""
        secret = encode_base64(bytes([self.kind]) + self.private.private_bytes_raw())
        return f"PRIVATE+KEY+{self.name}+{self.verifier.id.hex()}+{secret}"

    def sign(self, text: str, timestamp: int | None = None) -> bytes:
        """Signature over a note text. A cosignature needs ``timestamp`` (POSIX seconds), a plain one refuses it."""
        if (timestamp is not None) != (self.kind == COSIGNATURE_V1):
            raise ValueError("a cosignature, and nothing else, carries a time")
        if timestamp is None:
            return self.private.sign(text.encode())
        inner = self.private.sign(cosignature.ed25519_message(text, timestamp))
        return cosignature.join_timestamp(timestamp, inner)


def _parse_key(text: str) -> tuple[str, str, int, bytes]:
    parts = text.split("+", 2)  # names hold no plus; base64 may
    try:
        name, identifier, encoded = parts
        data = decode_base64(encoded)
    except ValueError as error:
        raise TiergateError(Reason.KEY_INVALID, "key is not <name>+<id>+<base64>") from error
    if not _KEY_ID.match(identifier) or not data:
        raise TiergateError(Reason.KEY_INVALID, "key id is not eight lower-case hex digits, or the key is empty")
    return name, identifier, data[0], data[1:]


def _with_id(key: VerifierKey, identifier: str) -> VerifierKey:
    if identifier != key.id.hex():
        raise TiergateError(Reason.KEY_INVALID, "key id does not match name, type and key")
    return key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line, which ``str`` gives: key name, 4-byte key id, signature bytes."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {encode_base64(self.key_id + self.signature)}"


@dataclass(frozen=True, slots=True)
class UnverifiedNote:
    """A well-formed note whose signatures nobody has checked; ``text`` must not be used before ``open_note``."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifiedNote:
    """A note under at least one known key: which keys verified, each with the time of its cosignature if it is one.

    ``raw``: the note with the lines that were verified alone, in their order.
    """

    text: str
    signed_by: tuple[tuple[VerifierKey, int | None], ...]
    raw: bytes


def parse_note(raw: bytes) -> UnverifiedNote:
    """Split a note into text and signature lines; NOTE_INVALID for every breach of the format."""
    if len(raw) > MAX_NOTE_BYTES:
        raise TiergateError(Reason.NOTE_INVALID, "note too large")
    try:
        note = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TiergateError(Reason.NOTE_INVALID, "note is not UTF-8") from error
    head, separator, tail = note.rpartition("\n\n")
    if _CONTROL.search(note) or not separator or not tail.endswith("\n"):
        raise TiergateError(Reason.NOTE_INVALID, "note is not text, blank line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise TiergateError(Reason.NOTE_INVALID, "too many signatures")
    return UnverifiedNote(head + "\n", tuple(map(_parse_signature, lines)))


def _parse_signature(line: str) -> NoteSignature:
    match = _SIGNATURE_LINE.match(line)
    if match is None or not _NAME.match(match[1]):
        raise TiergateError(Reason.NOTE_INVALID, "malformed signature line")
    try:
        data = decode_base64(match[2])
    except ValueError as error:
        raise TiergateError(Reason.NOTE_INVALID, "signature is not base64") from error
    if len(data) < 5:
        raise TiergateError(Reason.NOTE_INVALID, "signature too short")
    return NoteSignature(match[1], data[:4], data[4:])


def open_note(raw: bytes, keys: Sequence[VerifierKey]) -> VerifiedNote:
    """Verify a note. Signatures of unknown keys are ignored; a bad one of a known key refuses the whole note.

    A second signature of the same key is ignored, as Go does. Raises NOTE_INVALID, also when no known key signed.
    """
    note = parse_note(raw)
    known = {(key.name, key.id): key for key in keys}
    verified: dict[VerifierKey, int | None] = {}
    lines: list[str] = []
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is not None and key not in verified:
            verified[key] = key.verify(note.text, line.signature)
            lines.append(str(line))
    if not verified:
        raise TiergateError(Reason.NOTE_INVALID, "no signature by a known key")
    return VerifiedNote(note.text, tuple(verified.items()), "\n".join([note.text, *lines, ""]).encode())


def sign_note(text: str, signers: Sequence[SignerKey], timestamp: int | None = None) -> bytes:
    """A note over ``text`` (which ends in a newline) with one line per signer; NOTE_INVALID for unusable text.

    ``timestamp`` (POSIX seconds) goes into cosignatures.
    """
    if not signers or not text.endswith("\n") or _CONTROL.search(text):
        raise TiergateError(Reason.NOTE_INVALID, "text cannot be signed as a note")
    return add_signatures(text.encode() + b"\n", signers, timestamp)


def add_signatures(note: bytes, signers: Sequence[SignerKey], timestamp: int | None = None) -> bytes:
    """Append signature lines to a note (or to a text and its blank line)."""
    text = note.decode("utf-8").rpartition("\n\n")[0] + "\n"
    lines = []
    for signer in signers:
        stamp = timestamp if signer.kind == COSIGNATURE_V1 else None
        lines.append(f"{NoteSignature(signer.name, signer.verifier.id, signer.sign(text, stamp))}\n")
    return note + "".join(lines).encode()
