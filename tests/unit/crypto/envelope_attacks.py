"""The same attacks on signed files, as far as a DSSE envelope has a place for them; each one is SIGNATURE_INVALID."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

from gateway.crypto import envelope
from gateway.crypto.envelope import PAYLOAD_TYPES, pae
from gateway.crypto.keys import PrivateKey, b64url, generate_signing_key, public_jwk, sign, thumbprint
from tests.unit.crypto.attacks import KIDS, STRAY_HEADERS, forged_signatures, secrets_of


def envelope_attacks(kind: str, payload: bytes, key: PrivateKey) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of envelopes that a root which trusts ``key`` must refuse as ``kind``."""
    good: dict[str, Any] = json.loads(envelope.sign(kind, payload, [key]))
    (signature,) = good["signatures"]

    def changed(**members: Any) -> bytes:
        return json.dumps({**good, **members}).encode()

    def signed(raw: bytes, **members: Any) -> bytes:
        return changed(signatures=[{**signature, "sig": b64encode(raw).decode(), **members}])

    over = pae(kind, payload)
    for name, raw in forged_signatures(key, b64decode(signature["sig"]), over).items():
        yield f"signature: {name}", signed(raw)
    for name, data in (("payload alone", payload), ("type alone", kind.encode()), ("base64", good["payload"].encode())):
        yield f"signature over the {name}", signed(sign(key, data))
    for what, secret in secrets_of(key).items():
        yield f"HMAC keyed with the public key ({what})", signed(hmac.digest(secret, over, "sha512"))
    stranger = generate_signing_key("ES256")
    yield "another's key under the known id", signed(sign(stranger, over))
    yield "another's key under its own id", envelope.sign(kind, payload, [stranger])
    yield "its own key in the envelope", signed(sign(stranger, over), jwk=public_jwk(stranger))
    for other in PAYLOAD_TYPES - {kind}:
        yield f"signed as {other}", envelope.sign(other, payload, [key])
        yield (
            f"signed as {other}, and renamed",
            changed(signatures=[{**signature, "sig": b64encode(sign(key, pae(other, payload))).decode()}]),
        )
        yield f"called {other}", changed(payloadType=other)
    yield "type of another case", changed(payloadType=kind.upper())
    for kid in KIDS:
        yield f"keyid {kid[:24]!r}", signed(b64decode(signature["sig"]), keyid=kid)
    for name, value in STRAY_HEADERS.items():
        yield f"member {name}", changed(**{name: value})
        yield f"member {name} of the signature", signed(b64decode(signature["sig"]), **{name: value})
    text, mark = good["payload"], signature["sig"]
    for name, spelling in _spellings(text):
        yield f"payload {name}", changed(payload=spelling)
    for name, spelling in _spellings(mark):
        yield f"signature {name}", changed(signatures=[{**signature, "sig": spelling}])
    yield "no signature", changed(signatures=[])
    yield "signatures no list", changed(signatures=signature)
    yield "too many signatures", changed(signatures=[signature] * 33)
    yield "another payload", changed(payload=b64encode(payload + b" ").decode())
    yield "nested", changed(payload=b64encode(json.dumps(good).encode()).decode())
    yield "a token", f"{b64url(b'{}')}.{b64url(payload)}.{b64url(b64decode(mark))}".encode()
    yield "huge", json.dumps({**good, "payload": "A" * envelope.MAX_ENVELOPE_BYTES}).encode()
    yield "keyid twice as thumbprint of nothing", signed(b64decode(mark), keyid=thumbprint({"kty": "EC"}))


def _spellings(text: str) -> Iterator[tuple[str, Any]]:
    """The same bytes in other words, and what is no text."""
    raw = b64decode(text)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    yield "with a newline", text[:4] + "\n" + text[4:]
    yield "with a space", f" {text}"
    yield "with padding more", f"{text}="
    yield "outside ASCII", f"{text[:-4]}ａ" + text[-3:]
    yield "a list", [text]
    yield "null", None
    yield "a number", 7
    if (urlsafe := urlsafe_b64encode(raw).decode()) != text:
        yield "in the other alphabet", urlsafe
    if text.endswith("="):
        bare = text.rstrip("=")
        yield "without padding", bare
        last = alphabet[alphabet.index(bare[-1]) | 1]
        yield "with stray bits", bare[:-1] + last + text[len(bare) :]
