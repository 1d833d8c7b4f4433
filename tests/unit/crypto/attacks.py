"""The attacks on JSON Web Tokens that are known by name (RFC 8725 and what was published since), as a table.

Each changes a token as a whole and says what it gets wrong. What changes one JSON object is in ``json_attacks``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from gateway.crypto import attestation, consent, event, proof
from gateway.crypto.jws import MAX_TOKEN_CHARS, decode_segment
from gateway.crypto.keys import PrivateKey, b64url, public_jwk, sign, thumbprint
from tests.unit.crypto.doors import PURPOSES, Door, Fault

ORDER = {  # of the groups: SEC 2, section 2.4.2, and RFC 8032, section 5.1
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "EdDSA": 2**252 + 27742317777372353535851937790883648493,
}
TYPES = (consent.TYP, proof.TYP, attestation.TYP, event.TYP)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
NONES = ("none", "None", "NONE", "nOnE", "none ", "", "null", "nоne")  # the last has a Cyrillic letter
FOREIGN_ALGORITHMS = (
    "HS256",
    "RS256",
    "PS256",
    "ES384",
    "ES512",
    "ES256K",
    "es256",
    "eddsa",
    "Ed25519",
    "Ed448",
    "dir",
)
KIDS = (
    "../../../../dev/null", "/dev/null", "file:///etc/passwd", "..\\..\\windows\\win.ini", "' OR '1'='1",
    "x' UNION SELECT 'k", "x; rm -rf /", "|whoami", "$(id)", "https://example.invalid/keys", "key\0", "\0",
    "key\r\nx: y", "\x1b[31m", "\x7f", "ｆｕｚｈｏｕ－２０２６", "福州", "fuzhou-2026\u200b", "\u202efuzhou",
    "fu\u0301zhou", "\ud800", "", " ", "k" * 2500, "%s%s%n", "{0}", "FUZHOU-2026", "fuzhou-2026 ", "__proto__",
    "constructor",
)  # fmt: skip
STRAY_HEADERS: Mapping[str, Any] = {
    "jku": "https://example.invalid/keys.json",
    "x5u": "https://example.invalid/chain.pem",
    "x5c": ["AAAA"],
    "x5t": "AAAA",
    "x5t#S256": "AAAA",
    "crit": ["exp"],
    "b64": False,
    "zip": "DEF",
    "cty": "JWT",
    "enc": "A256GCM",
    "epk": {"kty": "EC"},
    "p2c": 1_000_000_000,
    "nonce": "n",
    "url": "https://example.invalid/",
    "iss": "fuzhou",
    "ALG": "none",
    "alg ": "none",
}


class Attack(NamedTuple):
    """One forged token and what is wrong with it."""

    name: str
    fault: Fault
    text: str


def _unsigned(head: Mapping[str, Any], door: Door) -> str:
    return ".".join(b64url(json.dumps(part).encode()) for part in (head, door.claims))


def _no_algorithm(door: Door) -> Iterator[Attack]:
    good_signature = door.good.rpartition(".")[2]
    for alg in (*NONES, *FOREIGN_ALGORITHMS):
        body = _unsigned({**door.head, "alg": alg}, door)
        yield Attack(f"alg {alg!r}, no signature", "algorithm", f"{body}.")
        yield Attack(f"alg {alg!r}, another's signature", "algorithm", f"{body}.{good_signature}")
        yield Attack(f"alg {alg!r}, signed all the same", "algorithm", door.forge({**door.head, "alg": alg}))
    other = "EdDSA" if door.keys.alg == "ES256" else "ES256"
    yield Attack("the other algorithm of ours", "algorithm", door.forge({**door.head, "alg": other}))


def secrets_of(key: PrivateKey) -> dict[str, bytes]:
    """What somebody who knows the public key alone could take for the secret of an HMAC."""
    public = key.public_key()
    jwk = public_jwk(public)
    return {
        "PEM": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "DER": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode(),
        "x": decode_segment(jwk["x"].encode()),
        "thumbprint": thumbprint(jwk).encode(),
        "nothing": b"",
    }


def _public_as_secret(door: Door) -> Iterator[Attack]:
    for what, secret in (*secrets_of(door.key).items(), ("key id", door.kid.encode())):
        for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            body = _unsigned({**door.head, "alg": alg}, door)
            mac = hmac.digest(secret, body.encode(), digest)
            yield Attack(f"{alg} keyed with the public key ({what})", "algorithm", f"{body}.{b64url(mac)}")
        body = _unsigned(door.head, door)
        mac = hmac.digest(secret, body.encode(), "sha512")
        yield Attack(f"HMAC under the key's own algorithm ({what})", "signature", f"{body}.{b64url(mac)}")


def _confused_keys(door: Door) -> Iterator[Attack]:
    """Real signatures by real keys of somebody else, or of another purpose. The key ids are all the same."""
    for purpose in PURPOSES:
        if purpose != door.purpose:
            yield Attack(f"this city's {purpose} key", "signature", door.forge(key=door.keys.fuzhou[purpose]))
        yield Attack(f"another city's {purpose} key", "signature", door.forge(key=door.keys.xiamen[purpose]))
        own_id = thumbprint(public_jwk(door.keys.xiamen[purpose]))
        head = {**door.head, "kid": own_id}
        yield Attack(
            f"another's {purpose} key under its own id", "key", door.forge(head, key=door.keys.xiamen[purpose])
        )


def _key_ids(door: Door) -> Iterator[Attack]:
    for kid in KIDS:
        yield Attack(f"kid {kid[:24]!r}", "key", door.forge({**door.head, "kid": kid}))
    yield Attack("kid longer than a token", "size", door.forge({**door.head, "kid": "k" * MAX_TOKEN_CHARS}))


def _stray_headers(door: Door) -> Iterator[Attack]:
    for name, value in STRAY_HEADERS.items():
        yield Attack(f"header {name}", "malformed", door.forge({**door.head, name: value}))
    attacker = door.keys.xiamen["proof"]
    embedded = {**door.head, "jwk": public_jwk(attacker)}
    yield Attack("its own key in the header", "malformed", door.forge(embedded, key=attacker))
    yield Attack("b64 false with crit", "malformed", door.forge({**door.head, "b64": False, "crit": ["b64"]}))
    plain = f"{b64url(json.dumps({**door.head, 'b64': False, 'crit': ['b64']}).encode())}.{json.dumps(door.claims)}"
    yield Attack("payload not encoded", "malformed", f"{plain}.{b64url(sign(door.key, plain.encode()))}")
    for name in ("alg", "kid", "typ"):
        head = {key: value for key, value in door.head.items() if key != name}
        yield Attack(f"no {name}", "malformed", door.forge(head))
        for value in (None, 0, True, [], {}, [door.head[name]]):
            yield Attack(f"{name} {value!r}", "malformed", door.forge({**door.head, name: value}))


def _confused_types(door: Door) -> Iterator[Attack]:
    spellings = (
        door.typ.upper(),
        f"application/{door.typ}",
        f"{door.typ} ",
        f" {door.typ}",
        f"{door.typ}\0",
        "JWT",
        "",
    )
    for typ in (*spellings, *(other for other in TYPES if other != door.typ)):
        yield Attack(f"typ {typ!r}", "type", door.forge({**door.head, "typ": typ}))


def _serialisations(door: Door) -> Iterator[Attack]:
    good = door.good
    head, payload, signature = good.split(".")
    flattened = {"payload": payload, "protected": head, "signature": signature}
    two = {"payload": payload, "signatures": [{"protected": head, "signature": signature}] * 2}
    forms = {
        "flattened JSON": json.dumps(flattened),
        "flattened JSON with a free header": json.dumps({**flattened, "header": {"kid": door.kid}}),
        "general JSON, two signatures": json.dumps(two),
        "two signatures": f"{good}.{signature}",
        "two signatures with a comma": f"{good},{signature}",
        "five segments, as of JWE": f"{head}.{payload}.{signature}.{signature}.{signature}",
        "detached payload": f"{head}..{signature}",
        "no header": f".{payload}.{signature}",
        "no dot": good.replace(".", ""),
        "one dot": f"{head}.{payload}",
        "dots only": "..",
        "empty": "" if door.purpose != "proof" else ".",  # an absent proof is another thing
        "two tokens": f"{good} {good}",
        "in quotes": f'"{good}"',
        "with the scheme": f"Bearer {good}",
        "percent-encoded dots": good.replace(".", "%2E"),
        "wide dots": good.replace(".", "．"),
        "a letter outside ASCII": good.replace("e", "е", 1),  # Cyrillic: it looks the same
        "a lone surrogate": f"{good}\ud800",
        "byte order mark": f"\ufeff{good}",
    }
    for name, text in forms.items():
        yield Attack(name, "malformed", text)
    for name, space in (("space", " "), ("newline", "\n"), ("CRLF", "\r\n"), ("tab", "\t"), ("NUL", "\0")):
        for where, text in (
            ("before", space + good),
            ("behind", good + space),
            ("inside", good[:9] + space + good[9:]),
        ):
            yield Attack(f"{name} {where}", "malformed", text)
    nested = json.dumps(good).encode()
    yield Attack("nested, as text", "malformed", door.forge({**door.head, "cty": "JWT"}, good.encode()[:2500]))
    yield Attack("nested, without cty", "malformed", door.forge(payload=good.encode()[:2500]))
    yield Attack("nested, as a JSON string", "malformed", door.forge(payload=nested[:2500]))
    yield Attack("one character too long", "size", good + "A" * (MAX_TOKEN_CHARS + 1 - len(good)))
    yield Attack("ten million characters", "size", good + "A" * 10_000_000)


def _spellings(door: Door) -> Iterator[Attack]:
    """Other texts for the same bytes."""
    segments = door.good.split(".")
    for place, name in enumerate(("header", "payload", "signature")):

        def spelt(text: str, place: int = place) -> str:
            return ".".join((*segments[:place], text, *segments[place + 1 :]))

        segment = segments[place]
        yield Attack(f"{name} padded", "malformed", spelt(segment + "=" * (-len(segment) % 4 or 1)))
        yield Attack(f"{name} with a character more", "malformed", spelt(f"{segment[: len(segment) // 4 * 4]}A"))
        yield Attack(f"{name} in the standard alphabet", "malformed", spelt(f"+/{segment[2:]}"))
        yield Attack(f"{name} of one character", "malformed", spelt("A"))
        yield Attack(f"{name} with a tilde", "malformed", spelt(f"{segment[:-1]}~"))
        if len(segment) % 4:
            stray = segment[:-1] + ALPHABET[ALPHABET.index(segment[-1]) | 1]
            assert stray != segment
            yield Attack(f"{name} with stray bits", "malformed", spelt(stray))


def forged_signatures(key: PrivateKey, raw: bytes, over: bytes) -> dict[str, bytes]:
    """What is no signature over ``over``, made from one that is (``raw``)."""
    first, second = raw[:32], raw[32:]
    zero, full = bytes(32), b"\xff" * 32
    forms = {
        "none": b"",
        "one byte": raw[:1],
        "63 bytes": raw[:63],
        "65 bytes": raw + b"\0",
        "twice": raw + raw,
        "all zero": zero + zero,
        "all ones": full + full,
        "first half zero": zero + second,
        "second half zero": first + zero,
        "halves exchanged": second + first,
        "a bit changed": bytes([raw[0] ^ 1]) + raw[1:],
        "over one byte less": sign(key, over[:-1]),
        "over nothing": sign(key, b""),
    }
    if isinstance(key, ec.EllipticCurvePrivateKey):
        order = ORDER["ES256"]
        n = order.to_bytes(32, "big")
        r, s = int.from_bytes(first, "big"), int.from_bytes(second, "big")
        return forms | {
            "DER": encode_dss_signature(r, s),
            "r = n": n + second,
            "s = n": first + n,
            "both n": n + n,
            "both one": (1).to_bytes(32, "big") * 2,
            "r = n - r": (order - r).to_bytes(32, "big") + second,
        }
    more = int.from_bytes(second, "little") + ORDER["EdDSA"]  # RFC 8032, section 5.1.7: S in [0, L)
    return forms | {
        "S + L": first + more.to_bytes(32, "little"),
        "S = L": first + ORDER["EdDSA"].to_bytes(32, "little"),
        "the neutral point and zero": b"\x01" + bytes(63),
        "over the hash": sign(key, hashlib.sha512(over).digest()),
    }


def _signatures(door: Door) -> Iterator[Attack]:
    body, _, text = door.good.rpartition(".")
    raw = decode_segment(text.encode())
    for name, signature in forged_signatures(door.key, raw, body.encode()).items():
        yield Attack(f"signature: {name}", "signature", f"{body}.{b64url(signature)}")
    alone = sign(door.key, body.partition(".")[2].encode())
    yield Attack("signature: over the payload alone", "signature", f"{body}.{b64url(alone)}")


TOKEN_ATTACKS: tuple[Callable[[Door], Iterator[Attack]], ...] = (
    _no_algorithm,
    _public_as_secret,
    _confused_keys,
    _key_ids,
    _stray_headers,
    _confused_types,
    _serialisations,
    _spellings,
    _signatures,
)
