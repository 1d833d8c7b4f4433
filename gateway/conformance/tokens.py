"""Tokens and proofs that the kit makes: sound ones by its own listed consent key, and changed ones in every way.

A sound one has no consent on record at the city, so its answer is rung 0; what is wrong with a changed one is tested
before that (DESIGN, invariant I3).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.conformance.deployment import DEPLOYMENT, FOREIGN, Deployment
from gateway.conformance.policies import LADDER, LIBRARY, MAX_LIFETIME_DAYS, MAX_USES
from gateway.crypto import consent, proof
from gateway.crypto.consent import new_id, token_hash
from gateway.crypto.keys import PrivateKey, algorithm_of, b64url, public_jwk, sign

DAY_S: Final = 86_400
Signature = Callable[[bytes], bytes]


def minute(shift_s: int = 0) -> int:
    """The whole minute before now, shifted (Unix seconds)."""
    now = int(time.time()) + shift_s
    return now - now % 60


def claims(kit: Deployment, scenarios: tuple[str, ...] = (LADDER,), **changes: Any) -> dict[str, Any]:
    """Claims of a token of the city under test, good three times; ``None`` as a change leaves a claim out.

    It is bound to its operator's key, unless the changes make it good for one use (DESIGN, invariant I4).
    """
    start = minute()
    usual: dict[str, Any] = {
        "iss": kit.city,
        "aud": DEPLOYMENT,
        "sub": b64url(hashlib.sha256(b"kit").digest()),
        "azp": LIBRARY,
        "authorization_details": [
            {"type": "incentive_check", "scenario": name, "purpose": f"{name}-purpose"} for name in scenarios
        ],
        "iat": start,
        "nbf": start,
        "exp": start + DAY_S,
        "jti": new_id(),
        "uses": 3,
        "notice": "ab" * 32,
    }
    operator = changes.get("azp", LIBRARY)
    if changes.get("uses") != 1 and f"{operator}-proof" in kit.keys:
        usual["cnf"] = {"jkt": kit.keys[f"{operator}-proof"][0]}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def segment(document: Mapping[str, Any] | str) -> str:
    """A part of a JWS."""
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    return b64url(text.encode())


def compact(header: Mapping[str, Any], payload: Mapping[str, Any] | str, signature: Signature) -> str:
    """A JWS of exactly these parts."""
    signed = f"{segment(header)}.{segment(payload)}"
    return f"{signed}.{b64url(signature(signed.encode()))}"


def key_of(kit: Deployment, name: str = "") -> tuple[str, PrivateKey]:
    """Id and key: the kit's listed consent key, or another of the deployment's."""
    return kit.keys[name or f"{kit.city}-kit-consent"]


def minted(
    kit: Deployment,
    payload: Mapping[str, Any] | str,
    *,
    key: str = "",
    header: Mapping[str, Any] | None = None,
    signature: Signature | None = None,
) -> str:
    """A token of these claims; ``header`` replaces or adds members, ``signature`` takes the place of the key's."""
    kid, private = key_of(kit, key)
    usual = {"alg": algorithm_of(private), "kid": kid, "typ": consent.TYP}
    return compact({**usual, **(header or {})}, payload, signature or (lambda data: sign(private, data)))


def sound(kit: Deployment, scenarios: tuple[str, ...] = (LADDER,), **changes: Any) -> str:
    """A token that is in order, but for the changes of its claims."""
    return minted(kit, claims(kit, scenarios, **changes))


def bound(kit: Deployment, **changes: Any) -> str:
    """A token without a count, bound to the operator's key."""
    return sound(kit, uses=None, **changes)


def _altered(token: str) -> str:
    """The same token with a later end, under the signature of the former."""
    head, payload, signature = token.split(".")
    found = json.loads(b64url_bytes(payload))
    return f"{head}.{segment({**found, 'exp': found['exp'] + 60})}.{signature}"


def b64url_bytes(text: str) -> bytes:
    """The bytes of a part."""
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def broken(token: str) -> str:
    """The same token with one changed bit in its signature."""
    signed, _, signature = token.rpartition(".")
    raw = bytearray(b64url_bytes(signature))
    raw[10] ^= 1
    return f"{signed}.{b64url(bytes(raw))}"


def _hs256(kit: Deployment) -> str:
    """Signed by HMAC with the public key as secret: what a library does that believes the header."""
    secret = json.dumps(public_jwk(key_of(kit)[1]), sort_keys=True, separators=(",", ":")).encode()
    return minted(
        kit, claims(kit), header={"alg": "HS256"}, signature=lambda data: hmac.digest(secret, data, hashlib.sha256)
    )


def _doubled(kit: Deployment) -> str:
    text = json.dumps(claims(kit), separators=(",", ":"))
    return minted(kit, f'{text[:-1]},"azp":"{LIBRARY}"}}')


def _long(kit: Deployment) -> str:
    return sound(kit, exp=minute() + (MAX_LIFETIME_DAYS + 2) * DAY_S)


BAD: Final[Mapping[str, tuple[str, tuple[str, ...], Callable[[Deployment], str]]]] = {
    "garbage": ("Text that is no JWS is refused.", ("TOKEN_MALFORMED",), lambda _: "x" * 100),
    "alg-none": (
        "A token without a signature, whose header says so, is refused.",
        ("TOKEN_ALGORITHM_WRONG", "TOKEN_MALFORMED"),
        lambda kit: minted(kit, claims(kit), header={"alg": "none"}, signature=lambda _: b""),
    ),
    "alg-hs256": (
        "A token whose header makes a secret of the public key is refused.",
        ("TOKEN_ALGORITHM_WRONG",),
        _hs256,
    ),
    "payload-altered": (
        "A token whose claims were changed after signing is refused.",
        ("TOKEN_SIGNATURE_INVALID",),
        lambda kit: _altered(sound(kit)),
    ),
    "signature-altered": (
        "A token with a changed bit in its signature is refused.",
        ("TOKEN_SIGNATURE_INVALID",),
        lambda kit: broken(sound(kit)),
    ),
    "typ": (
        "A JWS of another type is refused, though the right key signed it.",
        ("TOKEN_TYPE_WRONG",),
        lambda kit: minted(kit, claims(kit), header={"typ": "JWT"}),
    ),
    "header-extra": (
        "A header with more than alg, kid and typ is refused.",
        ("TOKEN_MALFORMED",),
        lambda kit: minted(kit, claims(kit), header={"jku": "https://kit.tiergate.invalid/keys"}),
    ),
    "claim-extra": (
        "A token with an unknown claim is refused.",
        ("TOKEN_MALFORMED",),
        lambda kit: sound(kit, level="any"),
    ),
    "claim-doubled": ("A token with a doubled claim is refused.", ("TOKEN_MALFORMED",), _doubled),
    "claim-missing": (
        "A token without a required claim is refused.",
        ("TOKEN_MALFORMED",),
        lambda kit: sound(kit, notice=None),
    ),
    "neither-counted-nor-bound": (
        "A token that is neither counted nor bound is refused.",
        ("TOKEN_MALFORMED",),
        lambda kit: sound(kit, uses=None, cnf=None),
    ),
    "counted-and-unbound": (
        "A token that is good more than once and bound to nobody is refused.",
        ("TOKEN_MALFORMED",),
        lambda kit: sound(kit, cnf=None),
    ),
    "times-too-fine": (
        "A token whose times are not on whole minutes is refused.",
        ("TOKEN_MALFORMED",),
        lambda kit: sound(kit, exp=minute() + DAY_S + 7),
    ),
    "kid-unknown": (
        "A token by a key that the directory does not list is refused.",
        ("TOKEN_KEY_UNKNOWN",),
        lambda kit: minted(kit, claims(kit), key=f"{kit.city}-unlisted-consent"),
    ),
    "key-of-another-purpose": (
        "A token by a key that is listed for something else is refused.",
        ("TOKEN_KEY_UNKNOWN",),
        lambda kit: minted(kit, claims(kit), key=f"{LIBRARY}-proof"),
    ),
    "other-city": (
        "A token of another city is refused.",
        ("TOKEN_KEY_UNKNOWN",),
        lambda kit: minted(kit, claims(kit, iss=FOREIGN), key=f"{FOREIGN}-consent"),
    ),
    "issuer-forged": (
        "A token in this city's name by another city's key is refused.",
        ("TOKEN_KEY_UNKNOWN",),
        lambda kit: minted(kit, claims(kit), key=f"{FOREIGN}-consent"),
    ),
    "audience": (
        "A token for another deployment is refused.",
        ("TOKEN_AUDIENCE_WRONG",),
        lambda kit: sound(kit, aud="elsewhere"),
    ),
    "other-operator": (
        "A token that was given to another operator is refused.",
        ("TOKEN_OTHER_OPERATOR",),
        lambda kit: sound(kit, azp="kit-metro"),
    ),
    "scenario-not-named": (
        "A token that does not name the scenario is refused.",
        ("TOKEN_SCENARIO_NOT_COVERED",),
        lambda kit: sound(kit, ("kit-capped",)),
    ),
    "purpose": (
        "A token that names the scenario for another purpose is refused.",
        ("TOKEN_SCENARIO_NOT_COVERED",),
        lambda kit: sound(
            kit, authorization_details=[{"type": "incentive_check", "scenario": LADDER, "purpose": "another"}]
        ),
    ),
    "expired": (
        "A token is refused from its exp on, without leeway.",
        ("TOKEN_EXPIRED",),
        lambda kit: sound(kit, iat=minute(-3600), nbf=minute(-3600), exp=minute()),
    ),
    "not-yet-valid": (
        "A token is refused until ten seconds before its nbf.",
        ("TOKEN_NOT_YET_VALID",),
        lambda kit: sound(kit, nbf=minute(120)),
    ),
    "too-long-lived": (
        "A token that outlives the scenario's limit is refused.", ("TOKEN_TOO_LONG_LIVED",), _long
    ),
    "too-many-uses": (
        "A token with more uses than the scenario allows is refused.",
        ("TOKEN_TOO_LONG_LIVED",),
        lambda kit: sound(kit, uses=MAX_USES + 1),
    ),
    "oversize": (
        "A token of more than 4096 characters is refused.",
        ("MALFORMED_REQUEST", "MESSAGE_TOO_LARGE"),
        lambda kit: sound(kit, pad="x" * 4096),
    ),
}  # fmt: skip
"""By name: one sentence, the reasons that are right, and how such a token is made."""


def proved(kit: Deployment, token: str, *, key: str = f"{LIBRARY}-proof", typ: str = proof.TYP, **changes: Any) -> str:
    """An operator's proof for a token, changed by claim."""
    kid, private = kit.keys[key]
    return compact(
        {"alg": algorithm_of(private), "kid": kid, "typ": typ},
        _proof_claims(token, changes),
        lambda d: sign(private, d),
    )


def proved_by_device(key: PrivateKey, token: str, **changes: Any) -> str:
    """A device's proof, which carries its key."""
    header = {"alg": algorithm_of(key), "jwk": public_jwk(key), "typ": proof.TYP}
    return compact(header, _proof_claims(token, changes), lambda data: sign(key, data))


def _proof_claims(token: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    usual = {
        "ath": b64url(token_hash(token)),
        "operator": LIBRARY,
        "scenario": LADDER,
        "iat": int(time.time()),
        "jti": new_id(),
    }
    return {**usual, **changes}
