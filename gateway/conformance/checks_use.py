"""Uses, repeated requests, deadlines, handles."""

from __future__ import annotations

import asyncio
from collections import Counter

from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.conformance import residents, tokens
from gateway.conformance.check import Check, FailedError, require
from gateway.conformance.policies import CAPPED, LADDER, LIBRARY, METRO
from gateway.conformance.session import ATTEST, Kit, outcome_of, terms_of
from gateway.crypto.consent import new_id

PARALLEL = 20
USES = 5
DEADLINE_S = 2.0


async def exact(kit: Kit) -> None:
    """More questions at once than uses."""
    token = (await kit.grant(residents.resident("top").ref, uses=USES)).token
    replies = await asyncio.gather(*(kit.attest(token) for _ in range(PARALLEL)))
    came = Counter("attested" if reply.code == "OK" else reply.shown for reply in replies)
    expected = Counter({"attested": USES, "USES_EXHAUSTED": PARALLEL - USES})
    require(came == expected, _counted(expected), _counted(came))


async def exact_in_batch(kit: Kit) -> None:
    """The same within one batch."""
    token = tokens.sound(kit.deployment, uses=2)
    results = await kit.batch([kit.question(token) for _ in range(4)])
    came = Counter(map(outcome_of, results))
    expected = Counter({"rung 0": 2, "USES_EXHAUSTED": 2})
    require(came == expected, _counted(expected), _counted(came))


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(found.items()))


async def refusal_is_free(kit: Kit) -> None:
    """A refused question, then a sound one."""
    token = tokens.sound(kit.deployment, uses=1)
    (await kit.attest(token, bundle_digest="00" * 32)).refused("BUNDLE_MISMATCH")
    (await kit.attest(token)).attested()


async def repeated(kit: Kit) -> None:
    """One request id three times, on a token for one use."""
    token, request_id = tokens.sound(kit.deployment, uses=1), new_id()
    answers = [(await kit.attest(token, request_id=request_id)).attested().attestation for _ in range(3)]
    require(len(set(answers)) == 1, "the same attestation for the same request", "different ones")


async def repeated_at_once(kit: Kit) -> None:
    """One request id eight times at once, on a token for two uses; then two more requests."""
    token, request_id = tokens.sound(kit.deployment, uses=2), new_id()
    replies = await asyncio.gather(*(kit.attest(token, request_id=request_id) for _ in range(8)))
    for reply in replies:
        reply.attested()
    (await kit.attest(token)).attested()
    (await kit.attest(token)).refused("USES_EXHAUSTED")


async def conflict(kit: Kit) -> None:
    """Another token, and another scenario, under a known id."""
    token, request_id = tokens.sound(kit.deployment, (LADDER, CAPPED)), new_id()
    (await kit.attest(token, request_id=request_id)).attested()
    for other, scenario in ((tokens.sound(kit.deployment), LADDER), (token, CAPPED)):
        (await kit.attest(other, request_id=request_id, scenario=scenario)).refused("REQUEST_CONFLICT")


async def per_operator(kit: Kit) -> None:
    """Two operators may choose the same id."""
    request_id = new_id()
    (await kit.attest(tokens.sound(kit.deployment), request_id=request_id)).attested()
    other = tokens.sound(kit.deployment, azp=METRO)
    (await kit.attest(other, request_id=request_id, operator=METRO)).attested()


async def deadline(kit: Kit) -> None:
    """Ten questions, each under a short deadline."""
    token = tokens.sound(kit.deployment, uses=20)
    for _ in range(10):
        reply = await kit.call(ATTEST, kit.question(token), timeout_s=DEADLINE_S)
        answered = reply.code in {"OK", "UNAVAILABLE"} and reply.seconds < DEADLINE_S
        require(answered, f"an answer, or UNAVAILABLE, within {DEADLINE_S:g} s", reply.shown)


async def _issued(kit: Kit) -> str:
    terms = terms_of(uses=1, lifetime_s=900, binding=consent.BINDING_NONE)
    request = consent.IssueHandleRequest(
        resident_ref=residents.resident("top").ref,
        terms=terms,
        notice_digest=(await kit.preview(terms)).notice_digest,
        form=consent.HANDLE_FORM_TYPED,
    )
    answer = await kit.app("ConsentService/IssueHandle", request, consent.IssueHandleResponse())
    return str(answer.handle)


async def handle_redeemed(kit: Kit) -> None:
    """Once; the same request again gets the same."""
    handle, request_id = await _issued(kit), new_id()
    first = (await kit.attest("", handle=handle, request_id=request_id)).attested()
    require(first.redeemed_token, "the token that the code was redeemed for", "no token")
    again = (await kit.attest("", handle=handle, request_id=request_id)).attested()
    require(again == first, "the same answer to the same request", "another one")


async def handle_unknown(kit: Kit) -> None:
    """A code that nobody issued."""
    (await kit.attest("", handle=f"{kit.deployment.city}-abcdefghjkmn")).refused("HANDLE_INVALID")


async def handle_one_error(kit: Kit) -> None:
    """Used, and of another operator: nobody can tell them from an unknown one."""
    handle = await _issued(kit)
    (await kit.attest("", handle=handle)).attested()
    foreign = await _issued(kit)
    unknown = await kit.attest("", handle=f"{kit.deployment.city}-abcdefghjkmp")
    for reply in (await kit.attest("", handle=handle), await kit.attest("", handle=foreign, operator=METRO)):
        reply.refused("HANDLE_INVALID")
        if (reply.code, reply.text) != (unknown.code, unknown.text):
            raise FailedError("one error for every code that cannot be redeemed", "errors that can be told apart")


CHECKS = (
    Check("use.exact", f"Of {PARALLEL} questions at once about {USES} uses exactly {USES} are attested.",
          "DESIGN I4, 5 step 6", exact),
    Check("use.exact-in-batch", "A batch spends no more uses than there are.", "DESIGN I4; peer.proto", exact_in_batch),
    Check("use.refusal-is-free", "A refused question spends no use.", "DESIGN 5 step 6", refusal_is_free),
    Check("request.repeated", "A repeated request gets the same attestation at no further use.", "DESIGN 5 step 3",
          repeated),
    Check("request.repeated-at-once", "The same request at once spends one use.", "DESIGN 5 step 3", repeated_at_once),
    Check("request.conflict", "A known request id with another token or scenario is a conflict.", "DESIGN 5 step 3",
          conflict),
    Check("request.per-operator", f"Request ids are each operator's own ({LIBRARY}, {METRO}).", "DESIGN 5 step 3",
          per_operator),
    Check("deadline.kept", f"An answer, or UNAVAILABLE, comes within {DEADLINE_S:g} s.", "DESIGN 5 step 7",
          deadline),
    Check("handle.redeemed", "A one-time code is redeemed once, with its token.", "peer.proto AttestTierRequest",
          handle_redeemed),
    Check("handle.unknown", "A code that nobody issued cannot be redeemed.", "DESIGN 4", handle_unknown),
    Check("handle.one-error", "Unknown, used and foreign codes are one error.", "DESIGN 4", handle_one_error),
)  # fmt: skip
