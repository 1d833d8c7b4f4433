"""Every place where a signed document comes in, opened in one way, so that one list of attacks can be tried on all.

A :class:`Door` takes JWS text of one token type. A :class:`Slot` takes the bytes of one JSON object at one place of a
signed document: an attack on the JSON is put there with everything around it sound and signed for real, so that the
signature is never why it is refused. Cities use one key id for all their keys, which is the worst case for confusion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gateway.crypto import attestation, consent, event, proof
from gateway.crypto.attestation import AttestationVerifier
from gateway.crypto.consent import ConsentVerifier
from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, PAYLOAD_TYPES, Authority, Root, sign, verify
from gateway.crypto.event import EventVerifier
from gateway.crypto.keys import Algorithm, KeyRing, PrivateKey, b64url, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import ProofVerifier
from gateway.crypto.root_files import read_root
from gateway.domain.directory import KeyPurpose
from gateway.errors import Reason
from gateway.policy.bundle import read_bundle
from gateway.policy.directory import build_directory, read_directory
from tests.fakes.network import Network, bundle_bytes
from tests.unit.crypto import samples
from tests.unit.crypto.samples import BORROWING, BUNDLE, DEPLOYMENT, FUZHOU, KID, LIBRARY, NOW, REQUEST, XIAMEN

Fault = Literal["malformed", "type", "algorithm", "key", "signature", "size"]
"""What an attack gets wrong; each door has a reason of the catalogue for it."""
PURPOSES: tuple[KeyPurpose, ...] = ("consent", "attestation", "event", "proof")


@dataclass(frozen=True)
class Keys:
    """Signing keys by purpose of Fuzhou and Xiamen (the proof key is an operator's), all of one algorithm."""

    alg: Algorithm
    fuzhou: Mapping[KeyPurpose, PrivateKey]
    xiamen: Mapping[KeyPurpose, PrivateKey]

    @classmethod
    def generate(cls, alg: Algorithm) -> Keys:
        """New keys."""
        one, two = ({purpose: generate_signing_key(alg) for purpose in PURPOSES} for _ in range(2))
        return cls(alg, one, two)


KEYS: Mapping[Algorithm, Keys] = {alg: Keys.generate(alg) for alg in samples.ALGORITHMS}


@dataclass(frozen=True)
class Door:
    """Where one token type comes in. ``claims`` and ``head`` are those of a token that is taken."""

    name: str
    typ: str
    purpose: KeyPurpose
    keys: Keys
    kid: str
    claims: Mapping[str, Any]
    reasons: Mapping[Fault, Reason]
    take: Callable[[str], object]

    @property
    def key(self) -> PrivateKey:
        """The key that tokens of this type are signed with."""
        return self.keys.fuzhou[self.purpose]

    @property
    def head(self) -> dict[str, Any]:
        """The header of a good token."""
        return {"alg": self.keys.alg, "kid": self.kid, "typ": self.typ}

    def forge(
        self,
        head: Mapping[str, Any] | bytes | None = None,
        payload: Mapping[str, Any] | bytes | None = None,
        key: PrivateKey | None = None,
    ) -> str:
        """A token with another header, payload or key, signed for real."""
        return samples.compact(
            self.head if head is None else head, self.claims if payload is None else payload, key or self.key
        )

    @property
    def good(self) -> str:
        """A token that is taken."""
        return self.forge()


def _rings(keys: Keys, purpose: KeyPurpose) -> dict[Any, KeyRing]:
    """Rings made of a directory that lists every key of a city, so that each ring has to choose its own."""
    return {
        city: KeyRing(purpose, [samples.directory_key(key, listed, KID) for listed, key in owned.items()])
        for city, owned in ((FUZHOU, keys.fuzhou), (XIAMEN, keys.xiamen))
    }


def _all(reason: Reason, **others: Reason) -> dict[Fault, Reason]:
    faults: tuple[Fault, ...] = ("malformed", "type", "algorithm", "key", "signature", "size")
    return {fault: others.get(fault, reason) for fault in faults}


def doors(alg: Algorithm) -> Iterator[Door]:
    """One door per token type, with keys of one algorithm."""
    keys = KEYS[alg]
    counted = samples.counted()
    yield Door(
        f"consent-{alg}", consent.TYP, "consent", keys, KID, counted.claims(),
        {
            "malformed": Reason.TOKEN_MALFORMED,
            "type": Reason.TOKEN_TYPE_WRONG,
            "algorithm": Reason.TOKEN_ALGORITHM_WRONG,
            "key": Reason.TOKEN_KEY_UNKNOWN,
            "signature": Reason.TOKEN_SIGNATURE_INVALID,
            "size": Reason.MESSAGE_TOO_LARGE,
        },
        partial(
            ConsentVerifier(_rings(keys, "consent"), DEPLOYMENT, remember=2).verify, operator=LIBRARY, now_s=NOW
        ),
    )  # fmt: skip
    kid = thumbprint(public_jwk(keys.fuzhou["proof"]))
    bound = replace(samples.verified(samples.bound()), key_thumbprint=kid)
    ring = KeyRing("proof", [samples.directory_key(keys.fuzhou["proof"], "proof", kid)])
    yield Door(
        f"proof-{alg}", proof.TYP, "proof", keys, kid,
        {
            "ath": b64url(bound.hash),
            "operator": LIBRARY,
            "scenario": BORROWING,
            "iat": NOW,
            "jti": b64url(b"\x06" * 16),
        },
        _all(Reason.PROOF_INVALID, malformed=Reason.PROOF_MALFORMED, type=Reason.PROOF_MALFORMED,
             size=Reason.MESSAGE_TOO_LARGE),
        lambda text: ProofVerifier({LIBRARY: ring}, remember=2).verify(text, bound, scenario=BORROWING, now_s=NOW),
    )  # fmt: skip
    token = samples.verified(counted)
    answer = samples.attestation(token)
    yield Door(
        f"attestation-{alg}", attestation.TYP, "attestation", keys, KID,
        {
            "iss": answer.issuer,
            "aud": answer.audience,
            "sub": answer.subject,
            "azp": answer.operator,
            "ath": b64url(answer.token_hash),
            "scenario": answer.scenario,
            "bundle": answer.bundle,
            "rung": answer.rung,
            "iat": answer.issued_at,
            "exp": answer.expires_at,
            "jti": answer.id,
            "req": answer.request,
        },
        _all(Reason.ATTESTATION_INVALID),
        lambda text: AttestationVerifier(_rings(keys, "attestation"), DEPLOYMENT).verify(
            text, token, scenario=BORROWING, bundle=BUNDLE, rungs=3, request=REQUEST, now_s=NOW
        ),
    )  # fmt: skip
    yield Door(
        f"event-{alg}", event.TYP, "event", keys, KID,
        {
            "iss": FUZHOU,
            "aud": DEPLOYMENT,
            "iat": NOW,
            "jti": b64url(b"\x04" * 16),
            "events": {event.URNS["withdrawal"]: {"consent": b64url(b"\x02" * 16)}},
        },
        _all(Reason.EVENT_INVALID, key=Reason.EVENT_DEFERRED),  # a new key may be used a moment before it is known
        partial(EventVerifier(_rings(keys, "event"), DEPLOYMENT).verify, sender=FUZHOU, now_s=NOW),
    )  # fmt: skip


DOORS: tuple[Door, ...] = tuple(door for alg in samples.ALGORITHMS for door in doors(alg))


@dataclass(frozen=True)
class Slot:
    """One JSON object in one signed document: ``good`` is taken, ``put`` tries other bytes in its place."""

    name: str
    good: bytes
    reasons: frozenset[Reason]
    put: Callable[[bytes], object]


AUTHORITY = generate_signing_key("ES256")
ROOT = Root((Authority("province", public_jwk(AUTHORITY), PAYLOAD_TYPES),), dict.fromkeys(PAYLOAD_TYPES, 1))
DOCUMENTS: Mapping[str, tuple[bytes, Callable[[bytes], object], Reason]] = {
    BUNDLE_TYPE: (bundle_bytes(), read_bundle, Reason.BUNDLE_INVALID),
    DIRECTORY_TYPE: (build_directory(Network().directory), read_directory, Reason.DIRECTORY_INVALID),
}


def _open(payload_type: str, envelope: bytes) -> object:
    return DOCUMENTS[payload_type][1](verify(ROOT, payload_type, envelope))


def _resigned(payload_type: str, payload: bytes) -> object:
    return _open(payload_type, sign(payload_type, payload, [AUTHORITY]))


def _root(data: bytes, folder: Path) -> Root:
    file = folder / "root.json"
    file.write_bytes(data)
    return read_root(file)


def slots(folder: Path) -> dict[str, Slot]:
    """Every slot by name; ``folder`` is for the root file."""
    found = [Slot("root", ROOT.to_json(), frozenset({Reason.CONFIG_INVALID}), partial(_root, folder=folder))]
    for door in DOORS:
        malformed = frozenset({door.reasons["malformed"], door.reasons["size"]})
        found += [
            Slot(
                f"{door.name} header",
                json.dumps(door.head).encode(),
                malformed | {door.reasons["algorithm"], door.reasons["key"], door.reasons["type"]},
                lambda data, door=door: door.take(door.forge(head=data)),  # type: ignore[misc]  # bound early
            ),
            Slot(
                f"{door.name} claims",
                json.dumps(door.claims).encode(),
                malformed | {door.reasons["key"]},  # the first claim says whose token it is
                lambda data, door=door: door.take(door.forge(payload=data)),  # type: ignore[misc]  # bound early
            ),
        ]
    for kind, (payload, _, reason) in DOCUMENTS.items():
        name = kind.partition("tiergate.")[2].partition("+")[0]
        envelope = sign(kind, payload, [AUTHORITY])
        found += [
            Slot(f"{name} envelope", envelope, frozenset({Reason.SIGNATURE_INVALID}), partial(_open, kind)),
            Slot(f"{name} payload", payload, frozenset({reason, Reason.SIGNATURE_INVALID}), partial(_resigned, kind)),
        ]
    return {slot.name: slot for slot in found}
