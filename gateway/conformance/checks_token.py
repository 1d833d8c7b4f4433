"""What a caller can see from what it holds: tokens, scenarios, proofs of possession."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.conformance import tokens
from gateway.conformance.check import Check
from gateway.conformance.deployment import Deployment
from gateway.conformance.policies import CAPPED, ELSEWHERE, LIBRARY, METRO, NOT_HONOURED, NOT_VOUCHED
from gateway.conformance.session import PREVIEW, Kit, terms_of
from gateway.crypto.keys import generate_signing_key, public_jwk, thumbprint


async def bad_token(kit: Kit, name: str) -> None:
    """One row of the table of bad tokens."""
    _, reasons, make = tokens.BAD[name]
    (await kit.attest(make(kit.deployment))).refused(*reasons)


async def absent(kit: Kit) -> None:
    """Neither token nor handle."""
    (await kit.attest("")).refused("MALFORMED_REQUEST")


async def every_listed_key(kit: Kit) -> None:
    """The kit's own consent key is the second that the directory lists for the city."""
    (await kit.attest(tokens.sound(kit.deployment))).attested()


async def scenario_unknown(kit: Kit) -> None:
    """No such scenario."""
    (await kit.attest(tokens.sound(kit.deployment), scenario="kit-nowhere")).refused("SCENARIO_UNKNOWN")


async def scenario_not_open(kit: Kit) -> None:
    """A scenario of another operator, named in the token."""
    token = tokens.sound(kit.deployment, (ELSEWHERE,))
    (await kit.attest(token, scenario=ELSEWHERE)).refused("SCENARIO_NOT_OPEN")


async def closed(kit: Kit, scenario: str, reason: str) -> None:
    """A scenario for which one of the two cities has said nothing: asked about, and previewed."""
    token = tokens.sound(kit.deployment, (scenario,))
    (await kit.attest(token, scenario=scenario)).refused(reason)
    request = consent.PreviewConsentRequest(terms=terms_of(scenario=scenario))
    (await kit.call(PREVIEW, request, client="app")).refused(reason)


async def bundle(kit: Kit) -> None:
    """A bundle that nobody has."""
    (await kit.attest(tokens.sound(kit.deployment), bundle_digest="00" * 32)).refused("BUNDLE_MISMATCH")


async def proof_accepted(kit: Kit) -> None:
    """A sound proof, twice within its window."""
    token = tokens.bound(kit.deployment)
    proof = tokens.proved(kit.deployment, token)
    for _ in range(2):
        (await kit.attest(token, proof=proof)).attested()


async def proof_not_expected(kit: Kit) -> None:
    """A proof for a token without a key."""
    token = tokens.sound(kit.deployment, uses=1)
    (await kit.attest(token, proof=tokens.proved(kit.deployment, token))).refused("PROOF_NOT_EXPECTED")


async def bad_proof(kit: Kit, make: Callable[[Deployment, str], str], reason: str) -> None:
    """One row of the table of bad proofs."""
    token = tokens.bound(kit.deployment)
    (await kit.attest(token, proof=make(kit.deployment, token))).refused(reason)


def _proof(**changes: Any) -> Callable[[Deployment, str], str]:
    return lambda kit, token: tokens.proved(kit, token, **changes)


def _later(seconds: int) -> Callable[[Deployment, str], str]:
    return lambda kit, token: tokens.proved(kit, token, iat=int(time.time()) + seconds)


_BAD_PROOFS: tuple[tuple[str, str, Callable[[Deployment, str], str], str], ...] = (
    ("missing", "A bound token without a proof is refused.", lambda _kit, _token: "", "PROOF_REQUIRED"),
    ("malformed", "A proof that is no JWS is refused.", lambda _kit, _token: "x" * 60, "PROOF_MALFORMED"),
    ("typ", "A JWS of another type is no proof.", _proof(typ="JWT"), "PROOF_MALFORMED"),
    ("stale", "An operator's proof older than 300 s is refused.", _later(-330), "PROOF_STALE"),
    ("early", "A proof from more than 10 s in the future is refused.", _later(40), "PROOF_STALE"),
    ("other-key", "A proof by another key than the token's is refused.", _proof(key=f"{METRO}-proof"), "PROOF_INVALID"),
    ("signature-altered", "A proof with a changed bit in its signature is refused.",
     lambda kit, token: tokens.broken(tokens.proved(kit, token)), "PROOF_INVALID"),
    ("other-operator", "A proof in another operator's name is refused.", _proof(operator=METRO), "PROOF_INVALID"),
    ("other-scenario", "A proof for another scenario is refused.", _proof(scenario=CAPPED), "PROOF_INVALID"),
    ("other-token", "A proof for another token is refused.",
     lambda kit, token: tokens.proved(kit, token, ath=_hash_of_another(kit)), "PROOF_INVALID"),
)  # fmt: skip


def _hash_of_another(kit: Deployment) -> str:
    from gateway.crypto.consent import token_hash
    from gateway.crypto.keys import b64url

    return b64url(token_hash(tokens.bound(kit)))


def _device(kit: Deployment) -> tuple[Any, str]:
    key = generate_signing_key("ES256")
    cnf = {"jkt": thumbprint(public_jwk(key)), "holder": "device"}
    return key, tokens.sound(kit, uses=20, cnf=cnf)


async def device_accepted(kit: Kit) -> None:
    """Two fresh proofs for two requests."""
    key, token = _device(kit.deployment)
    for _ in range(2):
        (await kit.attest(token, proof=tokens.proved_by_device(key, token))).attested()


async def device_replayed(kit: Kit) -> None:
    """One proof for two requests; for a request that is known it is taken again."""
    key, token = _device(kit.deployment)
    proof = tokens.proved_by_device(key, token)
    first = kit.question(token)
    for _ in range(2):
        (await kit.attest(token, proof=proof, request_id=first.request_id)).attested()
    (await kit.attest(token, proof=proof)).refused("PROOF_REPLAYED")


async def device_stale(kit: Kit) -> None:
    """Within an operator's window, and past a device's."""
    key, token = _device(kit.deployment)
    proof = tokens.proved_by_device(key, token, iat=int(time.time()) - 90)
    (await kit.attest(token, proof=proof)).refused("PROOF_STALE")


async def device_other_key(kit: Kit) -> None:
    """A proof by somebody else's device."""
    _, token = _device(kit.deployment)
    proof = tokens.proved_by_device(generate_signing_key("ES256"), token)
    (await kit.attest(token, proof=proof)).refused("PROOF_INVALID")


async def device_signature_altered(kit: Kit) -> None:
    """The right device's key, and a signature that is not its own."""
    key, token = _device(kit.deployment)
    proof = tokens.broken(tokens.proved_by_device(key, token))
    (await kit.attest(token, proof=proof)).refused("PROOF_INVALID")


_CLOSED = (
    ("not-honoured", "A scenario for which the host does not honour this city is refused.", NOT_HONOURED,
     "HOME_NOT_HONOURED"),
    ("not-vouched", "A scenario for which this city does not vouch is refused.", NOT_VOUCHED, "HOST_NOT_VOUCHED"),
)  # fmt: skip
_TOKEN_SOURCE = "DESIGN 4, 5 step 4; RFC 8725"  # noqa: S105 - no password
_PROOF_SOURCE = "DESIGN I4, 5 step 5; RFC 9449"
CHECKS = (
    *(
        Check(f"token.{name}", says, _TOKEN_SOURCE, partial(bad_token, name=name))
        for name, (says, _reasons, _make) in tokens.BAD.items()
    ),
    Check("token.absent", "A question without token and handle is refused.", "peer.proto AttestTierRequest", absent),
    Check("keys.every-listed", "A token by any consent key that the directory lists for the city is read.",
          "DESIGN 2; RFC 7515", every_listed_key),
    Check("scenario.unknown", "A scenario that is not in the bundle is refused.", "DESIGN 5 step 4", scenario_unknown),
    Check("scenario.not-open", "A scenario that is not open to the operator is refused.", "DESIGN 5 step 4",
          scenario_not_open),
    *(
        Check(f"scenario.{name}", says, "DESIGN 7; policy bundle", partial(closed, scenario=scenario, reason=reason))
        for name, says, scenario, reason in _CLOSED
    ),
    Check("bundle.mismatch", "A question under another bundle than the one in force is refused.", "DESIGN I8", bundle),
    Check("proof.accepted", f"A proof by the operator's listed key is taken, and again within 300 s ({LIBRARY}).",
          _PROOF_SOURCE, proof_accepted),
    Check("proof.not-expected", "A proof for an unbound token is refused.", _PROOF_SOURCE, proof_not_expected),
    *(
        Check(f"proof.{name}", says, _PROOF_SOURCE, partial(bad_proof, make=make, reason=reason))
        for name, says, make, reason in _BAD_PROOFS
    ),
    Check("proof.device-accepted", "A fresh proof by the device's key is taken.", _PROOF_SOURCE, device_accepted),
    Check("proof.device-replayed", "A device's proof is good once.", _PROOF_SOURCE, device_replayed),
    Check("proof.device-stale", "A device's proof older than 60 s is refused.", _PROOF_SOURCE, device_stale),
    Check("proof.device-other-key", "A proof by another device's key is refused.", _PROOF_SOURCE, device_other_key),
    Check("proof.device-signature-altered", "A device's proof with a changed bit in its signature is refused.",
          _PROOF_SOURCE, device_signature_altered),
)  # fmt: skip
