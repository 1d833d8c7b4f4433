"""What the city signs: attestations, consent tokens, pairwise identifiers, and by which keys."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.peer.v1 import status_pb2 as status
from gateway.conformance import residents, tokens
from gateway.conformance.check import Check, NotApplicableError, require
from gateway.conformance.policies import CAPPED, LADDER, LIBRARY, METRO
from gateway.conformance.session import GRANT, PEER, PREVIEW, Kit, claims_of, terms_of
from gateway.crypto import attestation, jws
from gateway.crypto.attestation import MAX_LIFETIME_S, request_binding
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S, token_hash
from gateway.crypto.keys import KeyRing, PrivateKey, b64url, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.evaluate import at_best
from gateway.domain.ids import Bound, OperatorId, RequestId, ScenarioId
from gateway.domain.notice import render_notice
from gateway.errors import TiergateError

_CLAIMS = frozenset(
    {"iss", "aud", "sub", "azp", "ath", "scenario", "bundle", "rung", "iat", "exp", "jti"}
)  # what every attestation holds; one about a counted token has `req`, too
_BINDINGS: Mapping[Bound, consent.Binding.ValueType] = {
    "none": consent.BINDING_NONE,
    "operator": consent.BINDING_OPERATOR,
    "device": consent.BINDING_DEVICE,
}


async def _attested(kit: Kit, token: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    text = (await kit.attest(token, **changes)).attested().attestation
    return text, claims_of(text)


async def claims(kit: Kit) -> None:
    """Of a counted token and of one that is not."""
    for token, changes, expected in (
        (tokens.sound(kit.deployment), {}, _CLAIMS | {"req"}),
        (bound := tokens.bound(kit.deployment), {"proof": tokens.proved(kit.deployment, bound)}, _CLAIMS),
    ):
        _, found = await _attested(kit, token, **changes)
        came = f"{len(set(found) - expected)} more, {len(expected - set(found))} less"
        require(set(found) == expected, f"exactly the claims {', '.join(sorted(expected))}", came)


async def header(kit: Kit) -> None:
    """alg, kid, typ."""
    import json

    text, _ = await _attested(kit, tokens.sound(kit.deployment))
    head = json.loads(tokens.b64url_bytes(text.split(".")[0]))
    came = "another header"
    require(set(head) == {"alg", "kid", "typ"}, "a header of alg, kid and typ", came)
    require(head["typ"] == attestation.TYP, f"typ {attestation.TYP}", came)
    require(len(text) <= jws.MAX_TOKEN_CHARS, f"at most {jws.MAX_TOKEN_CHARS} characters", "more")


async def listed_key(kit: Kit) -> None:
    """The signature under the directory's attestation keys of the city."""
    text, _ = await _attested(kit, tokens.sound(kit.deployment))
    ring = KeyRing("attestation", kit.deployment.directory.cities[kit.deployment.city].keys)
    head, payload, signature = text.split(".")
    import json

    document = json.loads(tokens.b64url_bytes(head))
    try:
        parsed = jws.Unverified(
            str(document.get("alg")), str(document.get("kid")), {}, f"{head}.{payload}".encode(),
            tokens.b64url_bytes(signature),
        )  # fmt: skip
        jws.verify(parsed, ring)
    except TiergateError as error:
        require(False, "a signature by a key that the directory lists for attestations", error.reason.value)


async def lifetime(kit: Kit) -> None:
    """Its time, and that of a token that ends soon."""
    _, found = await _attested(kit, tokens.sound(kit.deployment))
    span = found.get("exp", 0) - found.get("iat", 0)
    require(0 < span <= MAX_LIFETIME_S, f"a lifetime of at most {MAX_LIFETIME_S} s", f"{span} s")
    ends = tokens.minute(120)
    _, found = await _attested(kit, tokens.sound(kit.deployment, exp=ends))
    require(found.get("exp", 0) <= ends, "no end after the token's own", "a later one")


async def clock(kit: Kit) -> None:
    """``iat`` by the kit's clock."""
    _, found = await _attested(kit, tokens.sound(kit.deployment))
    off = found.get("iat", 0) - time.time()
    expected = f"iat within {MAX_CLOCK_AHEAD_S} s of the kit's clock"
    require(abs(off) <= MAX_CLOCK_AHEAD_S, expected, f"{off:.0f} s off")


async def bound_to_question(kit: Kit) -> None:
    """Every claim that names the question."""
    granted = (await kit.grant(residents.resident("top").ref, scenario=CAPPED)).token
    _, found = await _attested(kit, granted, scenario=CAPPED)
    expected = {
        "iss": kit.deployment.city,
        "aud": kit.deployment.directory.gateway.deployment,
        "sub": claims_of(granted).get("sub"),
        "azp": LIBRARY,
        "ath": b64url(token_hash(granted)),
        "scenario": CAPPED,
        "bundle": kit.deployment.bundle.digest,
    }
    wrong = [name for name, value in expected.items() if found.get(name) != value]
    require(not wrong, "the claims of this question", f"of another: {', '.join(wrong)}")


async def bound_to_request(kit: Kit) -> None:
    """``req`` of a counted token's attestation."""
    token = tokens.sound(kit.deployment)
    request = kit.question(token)
    _, found = await _attested(kit, token, request_id=request.request_id)
    expected = request_binding(OperatorId(LIBRARY), RequestId(request.request_id))
    require(found.get("req") == expected, "req: SHA-256 over operator, NUL, request id", "another value")


async def own_id(kit: Kit) -> None:
    """``jti`` of two requests."""
    token = tokens.sound(kit.deployment)
    ids = [(await _attested(kit, token))[1].get("jti") for _ in range(2)]
    sized = all(isinstance(item, str) and 22 <= len(item) <= 64 for item in ids)
    require(
        sized and ids[0] != ids[1], "an id of 128 random bits for each attestation", "the same one, or another form"
    )


async def issued(kit: Kit) -> None:
    """A granted token under the directory, by the gateway's own rules."""
    terms = terms_of(uses=7)
    shown = await kit.preview(terms)
    token = (await kit.grant(residents.resident("top").ref, uses=7)).token
    try:
        found = TrustedKeys.of(kit.deployment.directory).consents.verify(
            token, operator=OperatorId(LIBRARY), now_s=time.time()
        )
    except TiergateError as error:
        require(False, "a consent token that the gateway takes", error.reason.value)
        raise
    agreed = (found.uses, dict(found.scenarios), found.notice, found.key_thumbprint)
    proof_key = kit.deployment.keys[f"{LIBRARY}-proof"][0]
    expected = (7, {LADDER: f"{LADDER}-purpose"}, shown.notice_digest, proof_key)
    require(agreed == expected, "the terms that were agreed, and the notice that was shown", "others")
    lasts = found.expires_at - found.issued_at
    require(86_400 <= lasts <= 86_400 + 60, "the lifetime that was agreed, to the minute", "another")


async def issued_bound(kit: Kit) -> None:
    """``cnf`` of a token for accounts, of one for a device, and of one for a single use by whoever holds it."""
    granted = await kit.grant(residents.resident("top").ref, uses=0, binding=consent.BINDING_OPERATOR)
    operator_key = kit.deployment.keys[f"{LIBRARY}-proof"][0]
    cnf = claims_of(granted.token).get("cnf")
    require(cnf == {"jkt": operator_key}, "cnf: the operator's first listed proof key", "another")
    key = generate_signing_key("ES256")
    granted = await kit.grant(
        residents.resident("top").ref, binding=consent.BINDING_DEVICE, device_key=_device_key(key)
    )
    cnf = claims_of(granted.token).get("cnf")
    require(
        cnf == {"jkt": thumbprint(public_jwk(key)), "holder": "device"},
        "cnf: the device's key, marked as such",
        "another",
    )
    granted = await kit.grant(residents.resident("top").ref, uses=1, binding=consent.BINDING_NONE)
    require("cnf" not in claims_of(granted.token), "no cnf in a token that is bound to nobody", "one")


def _device_key(key: PrivateKey) -> consent.DeviceKey:
    jwk = public_jwk(key)
    return consent.DeviceKey(
        type=consent.KEY_TYPE_P256, x=tokens.b64url_bytes(jwk["x"]), y=tokens.b64url_bytes(jwk["y"])
    )


async def notice(kit: Kit) -> None:
    """All of a preview, for terms with each kind of count, binding and lifetime."""
    bundle, city = kit.deployment.bundle, kit.deployment.directory.cities[kit.deployment.city]
    asked: tuple[tuple[str, int, Bound, int], ...] = (
        (LADDER, 1, "none", 60),
        (LADDER, 0, "operator", 86_460),
        (CAPPED, 2, "operator", 86_400),
        (LADDER, 2, "device", 90_000),
    )
    for name, uses, bound, lifetime_s in asked:
        scenario = bundle.scenarios[ScenarioId(name)]
        best = at_best(bundle, scenario, city.id)
        expected = render_notice(
            bundle.notice, bundle.operators[OperatorId(LIBRARY)], scenario, city.name_zh, city.name_en,
            lifetime_s=lifetime_s, uses=uses or None, bound=bound, best=best,
        )  # fmt: skip
        binding, key = _BINDINGS[bound], _device_key(generate_signing_key("ES256")) if bound == "device" else None
        shown = await kit.preview(
            terms_of(scenario=name, uses=uses, binding=binding, device_key=key, lifetime_s=lifetime_s)
        )
        texts = (shown.notice_zh, shown.notice_en)
        require(texts == (expected.zh, expected.en), "the bundle's notice, filled in word for word", "another text")
        require(shown.notice_digest == expected.digest, "the digest of the notice that is shown", "another")
        said = (shown.without_zh, shown.without_en, shown.at_best_zh, shown.at_best_en, shown.illustrative)
        base, terms = scenario.base, best.terms
        true = (base.text_zh, base.text_en, terms.text_zh, terms.text_en, best.illustrative)
        require(said == true, "beside the notice what stands in it, and nothing else", "other terms, or another mark")


async def stale_notice(kit: Kit) -> None:
    """A notice that was never shown."""
    request = consent.GrantConsentRequest(
        resident_ref=residents.resident("top").ref, terms=terms_of(), notice_digest="00" * 32
    )
    (await kit.call(GRANT, request, client="app")).refused("CONSENT_STATE")


async def limits(kit: Kit) -> None:
    """More than the scenario allows, a lifetime that is no whole minutes, a token good more than once for anybody."""
    unbound = {"binding": consent.BINDING_NONE}
    beyond: tuple[dict[str, Any], ...] = (
        {"uses": 51}, {"lifetime_s": 31 * 86_400}, {"lifetime_s": 86_401},
        {"uses": 2, **unbound}, {"uses": 0, **unbound},
    )  # fmt: skip
    for changes in beyond:
        request = consent.PreviewConsentRequest(terms=terms_of(**changes))
        (await kit.call(PREVIEW, request, client="app")).refused("CONSENT_LIMITS")


async def _subject(kit: Kit, name: str, operator: str = LIBRARY) -> object:
    return claims_of((await kit.grant(residents.resident(name).ref, operator=operator)).token).get("sub")


async def pairwise_stable(kit: Kit) -> None:
    """Two consents of one person to one operator."""
    require(await _subject(kit, "top") == await _subject(kit, "top"), "one sub per person and operator", "two")


async def pairwise_per_operator(kit: Kit) -> None:
    """One person with two operators."""
    require(
        await _subject(kit, "top") != await _subject(kit, "top", METRO), "another sub for each operator", "the same"
    )


async def pairwise_per_person(kit: Kit) -> None:
    """Two people with one operator."""
    require(await _subject(kit, "top") != await _subject(kit, "low"), "another sub for each person", "the same")


async def in_force(kit: Kit) -> None:
    """StatusService, where it is served."""
    reply = await kit.call(f"{PEER}StatusService/GetInForce", status.GetInForceRequest())
    if reply.code == "UNIMPLEMENTED":
        raise NotApplicableError("the city does not serve StatusService")
    require(reply.code == "OK", "an answer", reply.shown)
    found = status.GetInForceResponse.FromString(reply.data)
    known = kit.deployment.directory
    held = (found.directory_version, found.bundle_digest)
    require(held == (known.version, kit.deployment.bundle.digest), "the deployment's directory and bundle", "others")
    listed = {(key.purpose, key.kid) for key in known.cities[kit.deployment.city].keys}
    signing = {(item.purpose, item.kid) for item in found.signing}
    require(signing and signing <= listed, "keys that the directory lists for their purpose", "others")


CHECKS = (
    Check("attestation.claims", "An attestation has exactly the listed claims.", "DESIGN I1, 4", claims),
    Check("attestation.header", "An attestation's header is alg, kid and its own typ.", "DESIGN 4; RFC 8725", header),
    Check("attestation.key", "An attestation is signed with a key that is listed for that.", "DESIGN 2, 4", listed_key),
    Check("attestation.lifetime", f"An attestation lives at most {MAX_LIFETIME_S} s, and no longer than its token.",
          "DESIGN I7", lifetime),
    Check("attestation.clock", "An attestation is dated now.", "DESIGN 5", clock),
    Check("attestation.question", "An attestation names all of its question, and the subject.",
          "DESIGN 4", bound_to_question),
    Check("attestation.request", "A counted token's attestation names its request.", "DESIGN 4", bound_to_request),
    Check("attestation.id", "Each attestation has an id of its own.", "DESIGN 4", own_id),
    Check("consent.issued", "A granted token holds the terms agreed, in the right form.", "DESIGN 4", issued),
    Check("consent.issued-bound", "A bound token names the right key.", "DESIGN I4; RFC 7800", issued_bound),
    Check("consent.notice", "A preview shows the registered notice, and promises nothing beside it.",
          "consent.proto PreviewConsent; PIPL 17", notice),
    Check("consent.stale-notice", "A grant under a notice that was not shown is refused.", "consent.proto GrantConsent",
          stale_notice),
    Check("consent.limits", "Terms beyond the scenario's limits, and several uses without a key, are refused.",
          "DESIGN I4; consent.proto ConsentTerms", limits),
    Check("pairwise.stable", "One person has one sub with one operator.", "DESIGN I6", pairwise_stable),
    Check("pairwise.per-operator", "With each operator a person has another sub.", "I6", pairwise_per_operator),
    Check("pairwise.per-person", "Two people have two subs.", "DESIGN I6", pairwise_per_person),
    Check("keys.in-force", "What the city says is in force is what the deployment has.", "status.proto", in_force),
)  # fmt: skip
