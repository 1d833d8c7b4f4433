"""Tokens and keys: as text that nobody signed, and as headers and claims that the right key signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from gateway.crypto import attestation, consent, event, jws, keys, proof
from gateway.crypto.keys import b64url
from gateway.domain.consent import STEPS, Contested, EventKind
from gateway.domain.directory import KeyPurpose
from gateway.errors import Reason
from tests.fuzz import world
from tests.fuzz.harness import Harness, documented, framed, text_of

TYPES = (consent.TYP, proof.TYP, attestation.TYP, event.TYP)


def _consent(text: str) -> dict[str, object]:
    return world.CONSENTS.verify(text, operator=world.OPERATOR, now_s=world.NOW).claims()


def _proof(text: str) -> None:
    world.PROOFS.verify(text, world.consent(bound=True), scenario=world.SCENARIO, now_s=world.NOW)


def _attestation(text: str) -> attestation.Attestation:
    return world.ATTESTATIONS.verify(
        text, world.consent(), scenario=world.SCENARIO, bundle=world.BUNDLE, rungs=3, request=world.REQUEST,
        now_s=world.NOW,
    )  # fmt: skip


def _event(text: str) -> event.SecurityEvent:
    return world.EVENTS.verify(text, sender=world.CITY, now_s=world.NOW)


OPENERS: tuple[Callable[[str], object], ...] = (_consent, _proof, _attestation, _event)
PURPOSES: tuple[KeyPurpose, ...] = ("consent", "proof", "attestation", "event")


def _issued() -> Iterator[str]:
    """A good token of each type."""
    yield consent.issue_consent(world.key("consent"), world.kid("consent"), world.consent())[0]
    bound = world.consent(bound=True)
    yield proof.issue_proof(
        world.key("proof"), world.kid("proof"), token_hash=bound.hash, operator=bound.operator,
        scenario=world.SCENARIO, issued_at=world.NOW, proof_id=b64url(bytes(16)),
    )  # fmt: skip
    yield attestation.issue_attestation(world.key("attestation"), world.kid("attestation"), world.attestation())
    known = event.SecurityEvent(
        b64url(bytes(16)), world.CITY, world.DEPLOYMENT, "withdrawal", b64url(bytes(16)), world.NOW
    )
    yield event.issue_event(world.key("event"), world.kid("event"), known)


def _text(data: bytes) -> bool:
    kind, rest = framed(data, len(TYPES))
    text = text_of(rest)
    parsed = jws.parse(text, TYPES[kind], malformed=Reason.EVENT_INVALID)
    assert f"{parsed.signing_input.decode('ascii')}.{b64url(parsed.signature)}" == text
    if kind == 0:
        assert len(consent.token_hash(text)) == 32
    OPENERS[kind](text)
    return True


def _signed(head: bytes, payload: bytes, purpose: KeyPurpose) -> str:
    signing_input = f"{b64url(head)}.{b64url(payload)}"
    return f"{signing_input}.{b64url(keys.sign(world.key(purpose), signing_input.encode()))}"


def _head(kind: int) -> bytes:
    return json.dumps({"alg": "EdDSA", "kid": world.kid(PURPOSES[kind]), "typ": TYPES[kind]}).encode()


def _header(data: bytes) -> bool:
    kind, head = framed(data, len(TYPES))
    payload = jws.decode_segment(list(_issued())[kind].split(".")[1].encode())
    OPENERS[kind](_signed(head, payload, PURPOSES[kind]))
    assert json.loads(head)["kid"] == world.kid(PURPOSES[kind])
    return True


def _claims(kind: int, payload: bytes) -> bool:
    taken = OPENERS[kind](_signed(_head(kind), payload, PURPOSES[kind]))
    if kind == 0:
        assert taken == json.loads(payload)  # nothing is passed over, nothing is read otherwise than json reads it
        token = world.CONSENTS.verify(
            _signed(_head(kind), payload, "consent"), operator=world.OPERATOR, now_s=world.NOW
        )
        consent.issue_consent(world.key("consent"), world.kid("consent"), token)
    return True


def _strict_object(data: bytes) -> bool:
    with documented(ValueError):
        found = jws.strict_object(data)
    assert found == json.loads(data)
    assert jws.strict_object(json.dumps(found).encode()) == found
    return True


def _segment(data: bytes) -> bool:
    with documented(ValueError):
        raw = jws.decode_segment(data)
    assert b64url(raw).encode() == data
    return True


def _jwk(data: bytes) -> bool:
    with documented(ValueError):
        found = jws.strict_object(data)
    jwk = {name: value for name, value in found.items() if isinstance(value, str)}
    public = keys.parse_jwk(jwk)
    assert keys.public_jwk(public) == jwk
    keys.verifier(public)
    return True


def _seeds_of_text() -> Iterator[bytes]:
    for kind, text in enumerate(_issued()):
        yield bytes([kind]) + text.encode()


def _seeds_of_claims(kind: int) -> Iterator[bytes]:
    yield jws.decode_segment(list(_issued())[kind].split(".")[1].encode())
    if kind == 0:
        yield json.dumps(world.consent(bound=True).claims()).encode()
    if kind == 3:
        others: tuple[tuple[EventKind, str | Contested | None], ...] = (
            ("correction", None),
            ("pause", b64url(bytes(16))),
            ("contest", Contested(3, STEPS[0])),
        )
        for what, subject in others:
            known = event.SecurityEvent(b64url(bytes(16)), world.CITY, world.DEPLOYMENT, what, subject, world.NOW)
            text = event.issue_event(world.key("event"), world.kid("event"), known)
            yield jws.decode_segment(text.split(".")[1].encode())


def _seeds_of_objects() -> Iterator[bytes]:
    yield json.dumps(world.consent().claims()).encode()
    yield b'{"a":[1,-2,null,true,"\\u0041\\ud83d\\ude00",{"b":{}}]}'


def _seeds_of_jwk() -> Iterator[bytes]:
    yield json.dumps(keys.public_jwk(world.key("proof"))).encode()
    # a point of P-256: the group's generator (SEC 2, section 2.4.2)
    yield (
        b'{"crv":"P-256","kty":"EC","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",'
        b'"y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}'
    )


HARNESSES = (
    Harness("token", (jws.parse, jws.verify, consent.token_hash), _text, _seeds_of_text),
    Harness(
        "token-header",
        (jws.parse, jws.strict_object),
        _header,
        lambda: (bytes([kind]) + _head(kind) for kind in range(len(TYPES))),
        1024,
    ),
    Harness("consent-claims", (consent.ConsentVerifier.verify,), partial(_claims, 0), partial(_seeds_of_claims, 0)),
    Harness("proof-claims", (proof.ProofVerifier.verify,), partial(_claims, 1), partial(_seeds_of_claims, 1)),
    Harness(
        "attestation-claims",
        (attestation.AttestationVerifier.verify,),
        partial(_claims, 2),
        partial(_seeds_of_claims, 2),
    ),
    Harness("event-claims", (event.EventVerifier.verify,), partial(_claims, 3), partial(_seeds_of_claims, 3)),
    Harness("strict-json", (jws.strict_object,), _strict_object, _seeds_of_objects),
    Harness(
        "base64url", (jws.decode_segment,), _segment, lambda: (b64url(bytes(n)).encode() for n in range(1, 5)), 256
    ),
    Harness("jwk", (keys.parse_jwk, keys.verifier), _jwk, _seeds_of_jwk, 1024),
)
